-- What an owner does with its own request: release, renew, ask, leave. Owns idempotency by token and id (invariant 5).

-- The live entry that a ticket names.
function F.live(id, key)
  local entry = F.get(id)
  return entry and entry[$key] == key and entry or nil
end

-- The holder that a grant names: key, id and token.
function F.holder(id, key, token)
  local entry = F.get(id)
  return entry and entry[$token] == token and token > 0 and entry[$key] == key and entry or nil
end

-- Ends what is over on the resource of a grant. Returns the holder if the grant is held then.
function F.settled_holder(id, key, token)
  if F.is_anything_over() then F.settle(key) end
  return F.holder(id, key, token)
end

-- Why a grant is not held: how it ended, and the token its request holds now.
function F.not_held(tag, id, key)
  local ended, entry = F.ended(id, key), F.live(id, key)
  local current = entry and entry[$token] or 0
  if not ended then return cmsgpack.pack(tag, 0, 0, 0, current) end
  return cmsgpack.pack(tag, ended[$ended_reason], ended[$ended_at], ended[$ended_token], current)
end

function F.release_settled(id, key, token)
  local entry = F.settled_holder(id, key, token)
  if not entry then
    local ended = F.ended(id, key)
    if ended and ended[$ended_reason] == $released and ended[$ended_token] == token and token > 0 then
      return cmsgpack.pack(2)
    end
    return F.not_held(3, id, key)
  end
  F.finish(id, entry, $released)
  return F.reply(F.add_entries({ 1 }, F.promote(key)))
end

-- Takes back a grant of this batch that came to nothing: as if it had never been asked for.
function F.do_withdraw(id, key, token)
  local entry = F.settled_holder(id, key, token)
  if entry then
    local blob = F.packed(id)
    F.remove(id, entry)
    F.emit($event_ended, id, blob, $cancelled, '', '')
    F.promote(key)
  end
  return cmsgpack.pack(1)
end

function F.do_renew(id, key, token, lease)
  local entry = F.settled_holder(id, key, token)
  if not entry then return F.not_held(3, id, key) end
  if entry[$lease] > 0 then
    if lease > 0 then
      entry[$lease], entry[$tail] = lease, nil
      F.touch(id)
    end
    if not (entry[$alive] > 0 and F.claim(id, entry)) then
      F.extend(id, entry)
      F.emit($event_renewed, id, F.packed(id), 0, '', '')
    end
  end
  return F.held_reply(id)
end

-- What has become of a request: held, queued, finished or unknown. Changes nothing.
function F.state(id, key)
  local entry = F.live(id, key)
  if entry then
    if entry[$token] > 0 then return F.held_reply(id) end
    return F.queued_reply(2, id)
  end
  local ended = F.ended(id, key)
  if ended then return cmsgpack.pack(4, ended[$ended_reason], ended[$ended_at], ended[$ended_token]) end
  return cmsgpack.pack(5)
end

function F.do_poll(id, key)
  F.settle(key)
  if $strict then F.promote(key) end
  local entry = F.live(id, key)
  if entry then
    F.keep_alive(id, entry)
    F.claim(id, entry)
  end
  return F.state(id, key)
end

-- Takes a request out of the line, or gives back what it was granted and did not claim. With a generation, only
-- that entry of the line is meant; -1 stands for none.
function F.do_cancel(id, key, generation, reason, actor, text)
  F.settle(key)
  local entry = F.live(id, key)
  if not entry then return F.cancel_unseen(id, key, generation, reason, actor, text) end
  local meant
  if entry[$token] == 0 then
    meant = generation < 0 or generation == entry[$sequence]
  else
    meant = generation < 0 and entry[$alive] > 0
  end
  if not meant then
    if entry[$token] > 0 then return cmsgpack.pack(2, id, F.packed(id)) end
    -- Another generation of the line was meant, and that one is gone.
    return cmsgpack.pack(3, reason, now, 0)
  end
  F.finish(id, entry, reason, actor, text)
  F.promote(key)
  return cmsgpack.pack(1)
end

-- Notes that a request which was never seen, or is over, must not be granted when it arrives late.
function F.cancel_unseen(id, key, generation, reason, actor, text)
  local ended = F.ended(id, key)
  if ended then return cmsgpack.pack(3, ended[$ended_reason], ended[$ended_at], ended[$ended_token]) end
  if generation >= 0 or F.get(id) then return cmsgpack.pack(3, reason, now, 0) end
  F.remember(id, key, reason, 0)
  F.emit($event_ended, '', '', reason, actor, text)
  return cmsgpack.pack(1)
end

function F.do_reprioritise(id, key, priority)
  F.settle(key)
  local entry = F.live(id, key)
  if not entry or entry[$token] > 0 then return cmsgpack.pack(6) end
  local from = entry[$priority]
  if from ~= priority then
    local m = S.m
    call('ZREM', K[3], F.place(id, entry))
    m[$waiting_low + from] = m[$waiting_low + from] - 1
    entry[$priority], entry[$tail] = priority, nil
    m[$waiting_low + priority] = m[$waiting_low + priority] + 1
    call('ZADD', K[3], 0, F.place(id, entry))
    F.touch(id)
    F.emit($event_reprioritised, id, F.packed(id), from, '', '')
    F.promote(key)
  end
  -- Only told, not claimed: whoever changes a priority need not be the one who waits.
  if not F.live(id, key) then return cmsgpack.pack(6) end
  return F.state(id, key)
end
