-- What is done to locks from outside: transfer, force, clearing an owner, sweeping. Owns no new rules: ends and
-- hand-offs are in handoff.lua.

-- Hands a lock to another owner with a new token; to its waiting request, if it has one.
function F.do_transfer(id, key, token, owner, user, pull)
  local entry = F.settled_holder(id, key, token)
  local other = F.owned(owner, key)
  if not entry then
    -- The lock as a transfer that was sent before has left it: a retry after a lost reply.
    local theirs = other and F.get(other)
    if theirs and theirs[$token] > token then
      local ended = F.ended(id, key)
      if other == id or (ended and ended[$ended_reason] == $transferred) then return F.held_reply(other) end
    end
    return F.not_held(3, id, key)
  end
  local from = entry[$owner]
  if from == owner then return F.held_reply(id) end
  if $paused then return cmsgpack.pack(9, $paused) end
  if other then return F.transfer_to(id, entry, other) end
  local before = F.deadline(entry)
  F.remove_selectors(id, entry)
  entry[$owner], entry[$user], entry[$pull] = owner, user, pull
  entry[$node], entry[$tail] = '', nil
  F.add_selectors(id, entry)
  F.hold(entry, 0)
  F.schedule(id, entry, before)
  F.touch(id)
  F.emit($event_transferred, id, F.packed(id), 0, from, '')
  F.hint(id, entry)
  return F.held_reply(id)
end

function F.transfer_to(id, entry, other)
  local heir = F.get(other)
  if heir[$token] > 0 then return cmsgpack.pack(4) end
  if heir[$mode] ~= entry[$mode] then return cmsgpack.pack(5) end
  local key, from = entry[$key], entry[$owner]
  F.finish(id, entry, $transferred)
  F.seat(other, heir, F.claim_by(heir))
  F.emit($event_transferred, other, F.packed(other), 0, from, '')
  local reply = F.held_reply(other)
  -- A waiter that left the head of the line may have been what kept shared ones behind it waiting.
  F.promote(key)
  return reply
end

-- Takes a lock away from one holder or from all. Tells what they held.
function F.do_force(id, key, actor, text)
  F.settle(key)
  local holders = F.holders(key, -1)
  F.prefetch(holders)
  local values, count = { 0 }, 0
  for n = 1, #holders do
    if id == '' or holders[n] == id then
      count = count + 1
      values[#values + 1] = holders[n]
      values[#values + 1] = F.packed(holders[n])
      F.finish(holders[n], F.get(holders[n]), $force_released, actor, text)
    end
  end
  values[1] = count
  F.promote(key)
  return F.reply(values)
end

-- Keys and ids of a selector, in the order of keys, after a member; at most so many, but a key is never cut in two.
function F.selected(prefix, after, most)
  local low = after == '' and '[' .. prefix or '(' .. prefix .. after
  local members = call('ZRANGEBYLEX', K[2], low, '(' .. string.sub(prefix, 1, -2) .. '\1', 'LIMIT', 0, most)
  local keys, ids, more = {}, {}, #members == most
  for n = 1, #members do keys[n], ids[n] = F.key_and_id(string.sub(members[n], #prefix + 1)) end
  if more then
    -- What of the last key is not here yet comes with the rest of it.
    local last = keys[#keys]
    low = '(' .. members[#members]
    local rest = call('ZRANGEBYLEX', K[2], low, '(' .. prefix .. last .. '\1')
    for n = 1, #rest do
      local _, id = F.key_and_id(string.sub(rest[n], #prefix + 1))
      keys[#keys + 1], ids[#ids + 1] = last, id
    end
  end
  return keys, ids, more
end

-- Ends entries of a selector, whole keys at a time. Tells whether there may be more, and what ended.
function F.do_clear(prefix, most, actor, text)
  local keys, ids, more = F.selected(prefix, '', most)
  local distinct = {}
  for n = 1, #keys do
    if keys[n] ~= keys[n - 1] then distinct[#distinct + 1] = keys[n] end
  end
  F.prefetch(ids)
  local over = F.is_anything_over()
  if over then
    for n = 1, #distinct do F.settle(distinct[n]) end
  end
  local values, count = { more and 1 or 0, 0 }, 0
  -- Every end comes before any hand-off, so that nothing is handed to what is being cleared.
  for n = 1, #ids do
    local id = ids[n]
    -- What was settled is not stored as it was.
    local blob = B[id] or F.get(id) and F.packed(id)
    local kind = blob and string.byte(blob)
    if kind and kind ~= $over then
      count = count + 1
      values[#values + 1] = id
      values[#values + 1] = blob
      local _, key, owner, pull, mode
      if kind == $plain then _, key, owner, pull, mode = cmsgpack.unpack_limit(blob, 4, $plain_len) end
      if mode == 0 then
        local _, token, _, limit = struct.unpack('$plain_format', blob)
        F.end_plain(id, blob, key, owner, pull, token, limit, $owner_gone, actor, text)
        if not F.first_waiting(key) then M[$resources] = M[$resources] - 1 end
      else
        F.sync()
        F.finish(id, F.get(id), $owner_gone, actor, text)
      end
    end
  end
  F.sync()
  values[2] = count
  for n = 1, #distinct do F.promote(distinct[n]) end
  return F.reply(values)
end

-- Ends at most `budget` entries whose time has run out, in the order of time, keys and ids, and hands on.
function F.do_sweep(budget)
  local ended = 0
  for _ = 1, budget do
    local first = call('ZRANGEBYSCORE', K[4], '-inf', now, 'LIMIT', 0, 1)[1]
    if not first then break end
    local key, id = F.key_and_id(string.sub(first, 2))
    if F.finish_due(key, id) then ended = ended + 1 end
    F.promote(key)
  end
  if $strict then
    if budget > 0 then F.end_pause() end
    return cmsgpack.pack(ended, F.or_pause(F.earliest()))
  end
  return cmsgpack.pack(ended, F.earliest())
end
