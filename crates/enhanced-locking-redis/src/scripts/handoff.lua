-- Ends and hand-offs. Owns the one place where a waiter becomes a holder and where a request comes to its end.

-- Ends a request: out of the bucket, remembered, told. The caller hands the resource on.
function F.finish(id, entry, reason, actor, text)
  local blob, token = F.packed(id), entry[$token]
  F.remove(id, entry)
  F.remember(id, entry[$key], reason, token)
  F.emit($event_ended, id, blob, reason, actor or '', text or '')
  -- Those who hold and have claimed are awaited by nobody.
  if token == 0 or entry[$alive] > 0 then F.hint(id, entry) end
end

-- Ends an entry whose time has run out.
function F.finish_over(id, entry)
  local reason
  if entry[$token] > 0 then
    reason = entry[$alive] > 0 and $unclaimed or $expired
  else
    reason = entry[$limit] > 0 and entry[$limit] <= now and $timed_out or $abandoned
  end
  F.finish(id, entry, reason)
end

-- Ends an entry whose deadline is over, or takes the deadline out if the entry is gone. Says whether it was there.
function F.finish_due(key, id)
  local entry = F.get(id)
  if entry then
    F.finish_over(id, entry)
  else
    F.take_out(K[4], 'h' .. key .. '\0' .. id)
  end
  return entry
end

function F.is_over(entry)
  local deadline = F.deadline(entry)
  return deadline > 0 and deadline <= now
end

-- Whether the first text comes before the second, byte by byte: Lua compares by the server's locale.
function F.before(a, b)
  local length = math.min(#a, #b)
  for n = 1, length do
    local x, y = string.byte(a, n), string.byte(b, n)
    if x ~= y then return x < y end
  end
  return #a < #b
end

-- Ends everything of a resource whose time has run out, in the order of time and ids, and hands on. Costs no more
-- than the smaller of what is over in the bucket and what the resource has.
function F.settle(key)
  if not F.is_anything_over() then return end
  local depth = F.depth(key)
  local size = depth + call('ZLEXCOUNT', K[2], '[h' .. key .. '\0', '(h' .. key .. '\1')
  if size == 0 then return end
  local members = call('ZRANGEBYSCORE', K[4], '-inf', now, 'LIMIT', 0, size + 1)
  local over = {}
  if #members <= size then
    local prefix = 'h' .. key .. '\0'
    for n = 1, #members do
      if string.sub(members[n], 1, #prefix) == prefix then over[#over + 1] = string.sub(members[n], #prefix + 1) end
    end
  else
    local ids = F.holders(key, size)
    local line = F.line(key, 0, depth)
    for n = 1, #line do ids[#ids + 1] = line[n] end
    F.prefetch(ids)
    local deadlines = {}
    for n = 1, #ids do
      local entry = F.get(ids[n])
      if entry and F.is_over(entry) then
        over[#over + 1] = ids[n]
        deadlines[ids[n]] = F.deadline(entry)
      end
    end
    table.sort(over, function(a, b)
      if deadlines[a] ~= deadlines[b] then return deadlines[a] < deadlines[b] end
      return F.before(a, b)
    end)
  end
  if #over == 0 then return end
  F.prefetch(over)
  for n = 1, #over do F.finish_due(key, over[n]) end
  F.promote(key)
end

-- Whether a request of this mode gets along with the holders: they have one mode, or there is one.
function F.fits(key, mode)
  if $paused then return false end
  local holder = F.first_holder(key)
  return not holder or (mode == 1 and F.get(holder)[$mode] == 1)
end

-- Hands the resource to the best waiters that fit: one exclusive, or the whole run of shared ones. Never ends anybody:
-- it stops at a head that is over, whose own end hands on.
function F.promote(key)
  local granted = {}
  while true do
    local id = F.first_waiting(key)
    if not id then return granted end
    local entry = F.get(id)
    if F.is_over(entry) or not F.fits(key, entry[$mode]) then return granted end
    local waited = now - entry[$since]
    F.seat(id, entry, F.claim_by(entry))
    F.emit($event_granted, id, F.packed(id), math.max(0, waited), '', '')
    granted[#granted + 1] = id
  end
end

-- Makes a waiter the holder, and has its process told.
function F.seat(id, entry, claim_by)
  local before = F.deadline(entry)
  F.leave_line(id, entry)
  F.hold(entry, claim_by)
  F.hint(id, entry)
  -- One that need not claim is a plain holder from now on.
  if claim_by == 0 then entry[$node] = '' end
  F.add_holder(id, entry)
  F.schedule(id, entry, before)
end

-- Gives an entry a token of its own and its full lease.
function F.hold(entry, claim_by)
  entry[$token], entry[$since], entry[$sequence] = F.next_token(), now, 0
  entry[$limit], entry[$alive] = F.expiry(entry[$lease], entry[$max_age], now), claim_by
end

function F.next_token()
  local token = M[$last_token] + 1
  if token < now then token = now end
  M[$last_token] = token
  return token
end

-- Until when a lock handed over must be claimed: within the window, and never beyond its greatest age; 0 if sticky.
function F.claim_by(entry)
  if entry[$lease] == 0 then return 0 end
  local window = now + $claim_window
  if entry[$max_age] > 0 then return math.min(window, now + entry[$max_age]) end
  return window
end

-- When a lock ends that was acquired then and is renewed now; 0 if it does not.
function F.expiry(lease, age, acquired)
  if lease == 0 then return age == 0 and 0 or acquired + age end
  $note_lease
  if age == 0 then return now + lease end
  return math.min(now + lease, acquired + age)
end
