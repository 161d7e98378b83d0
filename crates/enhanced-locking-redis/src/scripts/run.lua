-- Carries out the operations of one call, in their order. Owns the numbers of operations and nothing else.
local operations = {
  F.do_acquire, F.do_release, F.do_renew, F.do_poll, F.do_cancel, F.do_reprioritise, F.do_transfer, F.do_withdraw,
  F.do_find, F.do_acquire_all, F.do_force, F.do_clear, F.do_sweep, F.do_resource, F.do_locks, F.do_selected,
  F.do_queues, F.do_owner_edges, F.do_edges, F.do_stats, F.do_events,
  -- 22: keeps the events of the next seconds told to those who read along.
  function(until_later)
    local m = S.m
    if m[$listeners] < now + until_later then
      m[$listeners] = now + until_later
      S.changed = true
    end
    return cmsgpack.pack(m[$events])
  end,
  -- 23: server time.
  function() return cmsgpack.pack(now) end,
  -- 24: a change that changes nothing.
  function()
    S.changed = true
    return cmsgpack.pack(1)
  end,
}

local calls, ids, replies = {}, {}, {}
for n = 3, #ARGV do
  local operation = { cmsgpack.unpack(ARGV[n]) }
  calls[n - 2] = operation
  -- Operations up to 9 begin with an id, number 10 with a list of them.
  if operation[1] <= 9 then
    ids[#ids + 1] = operation[2]
  elseif operation[1] == 10 then
    for i = 1, #operation[2] do ids[#ids + 1] = operation[2][i] end
  end
end
F.load(ids)
for n = 1, #calls do
  local operation = calls[n]
  replies[n] = operations[operation[1]](unpack(operation, 2))
end
F.flush()
return replies
