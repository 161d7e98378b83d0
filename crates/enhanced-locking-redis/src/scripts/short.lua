-- The short way of what most calls do: an acquire of what nobody holds or waits for, and the end of a plain holder. Owns
-- changes of the names and deadlines that are only noted and written together; no rules: what is not so plain goes the
-- long way, which finds them written.

-- Writes down what was noted: members that are added to the names and taken out, and the same for the deadlines. None of
-- them is in two lists, because no key is met twice; T has the keys.
function F.sync()
  if not pending then return end
  F.many('ZADD', K[2], A)
  F.many('ZREM', K[2], R)
  F.many('ZADD', K[4], P)
  F.many('ZREM', K[4], Q)
  A, R, P, Q, T, pending = {}, {}, {}, {}, {}, false
end

function F.do_acquire(id, tail)
  local _, key, owner, pull, mode, lease, wait, max_age = cmsgpack.unpack_limit(tail, 7, 0)
  if T[key] then F.sync() end
  local m = M
  if $paused or B[id] ~= false or m[$held] >= $limit_locks or F.first_holder(key) or F.first_waiting(key) then
    F.sync()
    return F.acquire_settled(id, F.wanted(tail))
  end
  local token, limit = F.next_token(), F.expiry(lease, max_age, now)
  local member = key .. '\0' .. id
  local holder, at = 'h' .. member, #A
  A[at + 1], A[at + 2], A[at + 3], A[at + 4] = '0', holder, '0', 'o' .. owner .. '\0' .. member
  if pull then A[at + 5], A[at + 6] = '0', 'p' .. pull .. member end
  if limit > 0 then
    at = #P
    P[at + 1], P[at + 2] = F.text(limit), holder
    if m[$next] == 0 or limit < m[$next] then m[$next] = limit end
  end
  T[key], pending = true, true
  m[$held], m[$resources] = m[$held] + 1, m[$resources] + 1
  local head = struct.pack('$plain_format', $plain, token, now, limit)
  local blob = head .. tail
  B[id], E[id], D[id] = blob, nil, true
  F.emit($event_acquired, id, blob, 0, '', '')
  -- The asker knows what it said.
  return head
end

function F.do_release(id, key, token)
  if T[key] then F.sync() end
  local blob, next = B[id], M[$next]
  if blob and string.byte(blob) == $plain and (next == 0 or next > now) then
    local _, held, _, limit = struct.unpack('$plain_format', blob)
    local _, own, owner, pull, mode = cmsgpack.unpack_limit(blob, 4, $plain_len)
    -- A shared one may leave others, and somebody in line wants to be next.
    if held == token and own == key and mode == 0 and not F.first_waiting(key) then
      F.end_plain(id, blob, key, owner, pull, token, limit, $released, '', '')
      M[$resources] = M[$resources] - 1
      return '\1\0'
    end
  end
  F.sync()
  return F.release_settled(id, key, token)
end

-- Ends a holder that has claimed: out of the bucket, remembered, told. The caller sees to what becomes of the resource.
function F.end_plain(id, blob, key, owner, pull, token, limit, reason, actor, text)
  local member = key .. '\0' .. id
  local holder, at = 'h' .. member, #R
  R[at + 1], R[at + 2] = holder, 'o' .. owner .. '\0' .. member
  if pull then R[at + 3] = 'p' .. pull .. member end
  if limit > 0 then Q[#Q + 1] = holder end
  T[key], pending = true, true
  M[$held] = M[$held] - 1
  F.over(id, key, reason, token)
  F.emit($event_ended, id, blob, reason, actor, text)
end

-- A number as a text; many of a call are the same.
function F.text(number)
  if S.number ~= number then S.number, S.digits = number, string.format('%.0f', number) end
  return S.digits
end
