-- Acquiring: one lock, or all of a batch. Owns who is granted at once, who waits and who is refused.

-- A refusal, if the id is over or names another request.
function F.refusal(id, wanted)
  local ended = F.ended(id, wanted[$key])
  if ended then return cmsgpack.pack(4, id, ended[$ended_reason], ended[$ended_at], ended[$ended_token]) end
  local entry = F.get(id)
  if entry and not (entry[$key] == wanted[$key] and entry[$owner] == wanted[$owner] and entry[$mode] == wanted[$mode]) then
    return cmsgpack.pack(5, id)
  end
end

-- The id of the entry that answers a request already: its own, or its owner's. Or nil and a refusal.
function F.existing(id, wanted)
  local refusal = F.refusal(id, wanted)
  if refusal then return nil, refusal end
  if F.get(id) then return id end
  local own = F.owned(wanted[$owner], wanted[$key])
  if own and F.get(own)[$mode] ~= 0 and wanted[$mode] == 0 then return nil, cmsgpack.pack(6) end
  return own
end

-- Whether a request would be granted at once: it fits, and nobody in line ranks before it. Needs a settled resource.
function F.could_hold(wanted)
  local key = wanted[$key]
  if not F.fits(key, wanted[$mode]) then return false end
  local first, rank, sequence = F.first_waiting(key)
  if not first then return true end
  local own = now - F.credit(wanted[$priority])
  return own < rank or (own == rank and S.m[$last_sequence] + 1 < sequence)
end

function F.no_room(more)
  if S.m[$held] + more > $limit_locks then return cmsgpack.pack(8) end
end

function F.grant_now(id, entry, free)
  if free then S.m[$resources] = S.m[$resources] + 1 end
  F.hold(entry, 0)
  F.add_holder(id, entry, true)
  F.schedule(id, entry, 0)
  F.emit($event_acquired, id, F.packed(id), 0, '', '')
end

-- A lock that was held before. One that was granted just now is answered with the head of its stored form.
function F.held_reply(id)
  return cmsgpack.pack(1, id, F.packed(id))
end

-- The place of a waiter, as it sees it.
function F.queued_reply(tag, id)
  local entry = F.get(id)
  local key = entry[$key]
  local ahead = call('ZLEXCOUNT', K[3], '[' .. key .. '\0', '(' .. F.place(id, entry))
  local holders = F.holders(key, $max_blockers)
  F.prefetch(holders)
  return F.reply(F.add_entries({ tag, id, F.packed(id), ahead + 1, F.depth(key) }, holders))
end

-- A sign of life from a waiter: its place is kept for another keep-alive. Not a change of state, so no event.
function F.keep_alive(id, entry)
  if entry[$token] > 0 then return end
  if entry[$alive] > 0 then
    local before = F.deadline(entry)
    entry[$alive] = now + $keep_alive
    F.schedule(id, entry, before)
  elseif entry[$node] == S.node then
    return
  end
  entry[$node] = S.node
  F.touch(id)
  S.changed = true
end

-- Claims a grant if it was not. Says whether the entry holds.
function F.claim(id, entry)
  if entry[$token] == 0 then return false end
  if entry[$alive] > 0 then
    F.extend(id, entry)
    F.emit($event_claimed, id, F.packed(id), 0, '', '')
  end
  return true
end

-- Starts a holder's lease anew, claimed.
function F.extend(id, entry)
  local before = F.deadline(entry)
  entry[$alive], entry[$node] = 0, ''
  entry[$limit] = F.expiry(entry[$lease], entry[$max_age], entry[$since])
  F.schedule(id, entry, before)
  F.touch(id)
  S.changed = true
end

function F.full(entry)
  local m = S.m
  local depth = F.depth(entry[$key])
  if depth >= $limit_per_key then return cmsgpack.pack(7, 1, depth) end
  local own = F.waiting_of(entry[$owner])
  if own >= $limit_per_owner then return cmsgpack.pack(7, 2, own) end
  if m[$waiting] >= $limit_waiting then return cmsgpack.pack(7, 3, m[$waiting]) end
end

function F.enqueue(id, entry)
  local m = S.m
  -- Only while grants pause does anybody wait for what nobody holds.
  if $paused and not F.first_holder(entry[$key]) and not F.first_waiting(entry[$key]) then
    m[$resources] = m[$resources] + 1
  end
  m[$last_sequence] = m[$last_sequence] + 1
  entry[$since], entry[$sequence], entry[$node] = now, m[$last_sequence], S.node
  entry[$limit] = entry[$wait] > 0 and now + entry[$wait] or 0
  entry[$alive] = entry[$lease] > 0 and now + $keep_alive or 0
  F.add_waiter(id, entry)
  F.add_selectors(id, entry)
  F.schedule(id, entry, 0)
  local ahead = call('ZLEXCOUNT', K[3], '[' .. entry[$key] .. '\0', '(' .. F.place(id, entry))
  F.emit($event_queued, id, F.packed(id), ahead + 1, '', '')
end

function F.acquire_settled(id, wanted)
  local key = wanted[$key]
  F.settle(key)
  local own, refusal = F.existing(id, wanted)
  if refusal then return refusal end
  if own then
    local entry = F.get(own)
    F.keep_alive(own, entry)
    if F.claim(own, entry) then return F.held_reply(own) end
    return F.queued_reply(2, own)
  end
  if F.could_hold(wanted) then
    refusal = F.no_room(1)
    if refusal then return refusal end
    F.grant_now(id, wanted, not F.first_holder(key) and not F.first_waiting(key))
    return string.sub(F.packed(id), 1, $plain_len)
  end
  if wanted[$wait] == 0 then
    if $paused then return cmsgpack.pack(9, $paused) end
    local holders = F.holders(key, $max_blockers)
    F.prefetch(holders)
    return F.reply(F.add_entries({ 3 }, holders))
  end
  refusal = F.full(wanted)
  if refusal then return refusal end
  F.enqueue(id, wanted)
  return F.queued_reply(2, id)
end

-- Takes all of the locks or none. `keys` names them in their order, by number; `dry` only asks.
function F.do_acquire_all(ids, tails, order, dry)
  local requests = {}
  for n = 1, #ids do requests[n] = F.wanted(tails[n]) end
  for n = 1, #order do F.settle(requests[order[n]][$key]) end
  local own, blocked, new = {}, {}, 0
  for n = 1, #ids do
    local id, wanted = ids[n], requests[n]
    local existing, refusal = F.existing(id, wanted)
    if refusal then return refusal end
    local held
    if existing then
      own[n] = existing
      -- An owner that waits for the key goes on waiting: it must not get a second entry.
      held = F.get(existing)[$token] > 0
    else
      new = new + 1
      held = F.could_hold(wanted)
    end
    if not held then blocked[#blocked + 1] = n end
  end
  if #blocked > 0 then
    if $paused then return cmsgpack.pack(9, $paused) end
    local values = { 3, #blocked }
    for n = 1, #blocked do
      local holders = F.holders(requests[blocked[n]][$key], $max_blockers)
      F.prefetch(holders)
      values[#values + 1] = blocked[n]
      F.add_entries(values, holders)
    end
    return F.reply(values)
  end
  local refusal = F.no_room(new)
  if refusal then return refusal end
  local values = { 1 }
  for n = 1, #ids do
    local id = own[n] or ids[n]
    if not dry then
      if own[n] then
        F.claim(id, F.get(id))
      else
        local key = requests[n][$key]
        F.grant_now(id, requests[n], not F.first_holder(key) and not F.first_waiting(key))
      end
      values[#values + 1] = own[n] and 0 or 1
      values[#values + 1] = id
      values[#values + 1] = F.packed(id)
    end
  end
  return F.reply(values)
end
