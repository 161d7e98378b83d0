-- Carries out the operations of one call, in their order.
local calls, ids, replies = {}, {}, {}
for n = 3, #ARGV do
  local operation = { cmsgpack.unpack(ARGV[n]) }
  calls[n - 2] = operation
  -- Before anything is done, or half of a call would be.
  if not operations[operation[1]] then return redis.error_reply('ERR there is no such operation') end
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
  -- The two with a short way write what was noted when they leave it.
  if operation[1] > 2 then F.sync() end
  replies[n] = F[operations[operation[1]]](unpack(operation, 2))
end
F.flush()
return replies
