-- Entries and their places in the sorted sets. Owns every index of an entry, so that no operation can forget one.
--
-- Members are put together of texts that have no control characters, with zero bytes between, and an id at the end.
--   names      all scores zero, so in the order of bytes: holders, and what owners and pull requests have
--              'h' key 0 id, 'o' owner 0 key 0 id, 'p' repository 0 number 0 key 0 id
--   line       key 0 rank sequence id         rank and sequence with 16 digits each; all scores zero as well
--   deadlines  'h' key 0 id                   score: when time ends it, in microseconds
--   arrivals   id                             score: when it joined the line

-- What a member has before its first zero byte, and what behind it: of a place in the line the key, of any other member
-- without what stands before its key also the id.
function F.key_and_id(member)
  local at = string.find(member, '\0', 1, true)
  return string.sub(member, 1, at - 1), string.sub(member, at + 1)
end

function F.credit(priority)
  local credits = { $credits }
  return credits[priority + 1]
end

function F.rank(entry)
  return entry[$since] - F.credit(entry[$priority])
end

-- Where a waiting entry stands in the line.
function F.place(id, entry)
  return entry[$key] .. '\0' .. string.format('%016.0f%016.0f', F.rank(entry) + $rank_offset, entry[$sequence]) .. id
end

-- When time ends an entry; 0 if it does not.
function F.deadline(entry)
  local limit, alive = entry[$limit], entry[$alive]
  if alive == 0 then return limit end
  if entry[$token] > 0 or limit == 0 or alive < limit then return alive end
  return limit
end

-- Writes down the deadline of an entry, which was `before`.
function F.schedule(id, entry, before)
  local at = F.deadline(entry)
  if at == before then return end
  local member = 'h' .. entry[$key] .. '\0' .. id
  if at == 0 then
    call('ZREM', K[4], member)
    return
  end
  call('ZADD', K[4], at, member)
  local m = S.m
  if m[$next] == 0 or at < m[$next] then
    m[$next] = at
    S.changed = true
  end
end

-- Whether the time of anything in the bucket has run out. The figure kept is never later than the truth.
function F.is_anything_over()
  local next = S.m[$next]
  if next == 0 or next > now then return false end
  next = F.earliest()
  return next > 0 and next <= now
end

-- The earliest deadline; 0 if there is none.
function F.earliest()
  local first = call('ZRANGE', K[4], 0, 0, 'WITHSCORES')
  local next = first[2] and tonumber(first[2]) or 0
  -- Noted, or every later call would look again that changes nothing itself.
  if M[$next] ~= next then M[$next], S.changed = next, true end
  return next
end

-- The names of an entry by its owner, and by its pull request if it has one.
function F.selectors(id, entry)
  local own = entry[$key] .. '\0' .. id
  return 'o' .. entry[$owner] .. '\0' .. own, entry[$pull] and 'p' .. entry[$pull] .. own
end

function F.add_selectors(id, entry)
  local owner, pull = F.selectors(id, entry)
  if pull then call('ZADD', K[2], 0, owner, 0, pull) else call('ZADD', K[2], 0, owner) end
end

function F.remove_selectors(id, entry)
  local owner, pull = F.selectors(id, entry)
  if pull then call('ZREM', K[2], owner, pull) else call('ZREM', K[2], owner) end
end

-- Adds a holder: a new entry with all its names, or one that has stood in line.
function F.add_holder(id, entry, new)
  local holder = 'h' .. entry[$key] .. '\0' .. id
  if new then
    local owner, pull = F.selectors(id, entry)
    if pull then
      call('ZADD', K[2], 0, holder, 0, owner, 0, pull)
    else
      call('ZADD', K[2], 0, holder, 0, owner)
    end
  else
    call('ZADD', K[2], 0, holder)
  end
  S.m[$held] = S.m[$held] + 1
  F.live_again(id, entry)
  S.changed = true
end

-- Takes in an entry that may be new, and stored as something else before.
function F.live_again(id, entry)
  E[id], S.ended[id] = entry, nil
  F.touch(id)
end

-- Adds a waiter to the sets that only waiters are in.
function F.add_waiter(id, entry)
  local m, at = S.m, $waiting_low + entry[$priority]
  call('ZADD', K[3], 0, F.place(id, entry))
  call('ZADD', K[6], entry[$since], id)
  m[$waiting] = m[$waiting] + 1
  m[at] = m[at] + 1
  F.count_waiting(entry[$owner], 1)
  F.live_again(id, entry)
  S.changed = true
end

-- Takes a waiter out of the sets that only waiters are in.
function F.leave_line(id, entry)
  local m, at = S.m, $waiting_low + entry[$priority]
  call('ZREM', K[3], F.place(id, entry))
  call('ZREM', K[6], id)
  m[$waiting] = m[$waiting] - 1
  m[at] = m[at] - 1
  F.count_waiting(entry[$owner], -1)
  S.changed = true
end

-- Takes an entry out of everything.
function F.remove(id, entry)
  local owner, pull = F.selectors(id, entry)
  if entry[$token] > 0 then
    local holder = 'h' .. entry[$key] .. '\0' .. id
    if pull then call('ZREM', K[2], holder, owner, pull) else call('ZREM', K[2], holder, owner) end
    S.m[$held] = S.m[$held] - 1
  else
    F.leave_line(id, entry)
    if pull then call('ZREM', K[2], owner, pull) else call('ZREM', K[2], owner) end
  end
  if F.deadline(entry) > 0 then call('ZREM', K[4], 'h' .. entry[$key] .. '\0' .. id) end
  S.changed = true
  E[id], B[id], D[id] = false, false, true
  -- An exclusive holder is alone: without a line in the bucket nothing can be left of its resource.
  if not (entry[$token] > 0 and entry[$mode] == 0) and F.first_holder(entry[$key]) then return end
  if F.first_waiting(entry[$key]) then return end
  S.m[$resources] = S.m[$resources] - 1
end

-- The ids of the first holders of a key.
function F.holders(key, most)
  local members = call('ZRANGEBYLEX', K[2], '[h' .. key .. '\0', '(h' .. key .. '\1', 'LIMIT', 0, most)
  for n = 1, #members do members[n] = string.sub(members[n], #key + 3) end
  return F.present(members)
end

-- The first holder of a key. A name whose entry is gone, which no operation leaves behind, would be in the way for ever.
function F.first_holder(key)
  while true do
    local member = call('ZRANGEBYLEX', K[2], '[h' .. key .. '\0', '(h' .. key .. '\1', 'LIMIT', 0, 1)[1]
    local id = member and string.sub(member, #key + 3)
    if not id or F.get(id) then return id end
    F.take_out(K[2], member)
  end
end

-- Takes out a member whose entry is gone.
function F.take_out(set, member)
  call('ZREM', set, member)
  S.changed = true
end

-- The first in line for a key: its id, rank and sequence.
function F.first_waiting(key)
  if S.m[$waiting] == 0 then return nil end
  local at = #key + 2
  local member, id
  repeat
    if id then F.take_out(K[3], member) end
    member = call('ZRANGEBYLEX', K[3], '[' .. key .. '\0', '(' .. key .. '\1', 'LIMIT', 0, 1)[1]
    if not member then return nil end
    id = string.sub(member, at + 32)
  until F.get(id)
  return id, tonumber(string.sub(member, at, at + 15)) - $rank_offset, tonumber(string.sub(member, at + 16, at + 31))
end

-- The ids of a line, head first.
function F.line(key, from, most)
  local members = call('ZRANGEBYLEX', K[3], '[' .. key .. '\0', '(' .. key .. '\1', 'LIMIT', from, most)
  for n = 1, #members do members[n] = string.sub(members[n], #key + 34) end
  return F.present(members)
end

function F.depth(key)
  if S.m[$waiting] == 0 then return 0 end
  return call('ZLEXCOUNT', K[3], '[' .. key .. '\0', '(' .. key .. '\1')
end

-- The entry of an owner for a key: its id, or nil.
function F.owned(owner, key)
  local own = 'o' .. owner .. '\0' .. key
  while true do
    local member = call('ZRANGEBYLEX', K[2], '[' .. own .. '\0', '(' .. own .. '\1', 'LIMIT', 0, 1)[1]
    local id = member and string.sub(member, #own + 2)
    if not id or F.get(id) then return id end
    F.take_out(K[2], member)
  end
end
