-- Carries out the operations of one call, in their order. Owns the numbers of operations and nothing else.
local operations = {
  'acquire', 'release', 'renew', 'poll', 'cancel', 'reprioritise', 'transfer', 'withdraw', 'find', 'acquire_all',
  'force', 'clear', 'sweep', 'resource', 'locks', 'selected', 'queues', 'owner_edges', 'edges', 'stats', 'events',
  'listen', 'now', 'ping', 'replication',
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
$look_for_promotion
for n = 1, #calls do
  local operation = calls[n]
  replies[n] = F['do_' .. operations[operation[1]]](unpack(operation, 2))
end
F.flush()
return replies
