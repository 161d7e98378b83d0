-- What is told: events, the memory of ends, hints to waiting processes. Owns their form and their bounds.

-- Notes an event. `blob` is the request it happened to, as stored at that moment.
function F.emit(kind, id, blob, token, a, b, c)
  local m = S.m
  m[$events] = m[$events] + 1
  S.events[#S.events + 1] =
    cmsgpack.pack(m[$events], now, kind, id or '', blob or '', token or 0, a or 0, b or '', c or '')
  S.changed = true
end

-- Appends the new events, and cuts off the oldest from time to time: readers know how many count.
function F.append_events()
  local length = 0
  for from = 1, #S.events, 4000 do
    length = call('RPUSH', K[5], unpack(S.events, from, math.min(#S.events, from + 3999)))
  end
  if length > $limit_events + 64 then call('LTRIM', K[5], -$limit_events - 1, -1) end
end

-- How a request came to its end, if it is remembered.
function F.ended(id, key)
  if S.ended[id] == nil then F.get(id) end
  local ended = S.ended[id]
  if not ended or ended[$ended_number] <= S.m[$finished] - $limit_finished then return nil end
  if key and ended[$ended_key] ~= key then return nil end
  return ended
end

-- Remembers an end. One that is remembered already keeps its place among those to be forgotten.
function F.remember(id, key, reason, token)
  local known = F.ended(id)
  local number = known and known[$ended_number]
  if not number then
    if $limit_finished == 0 then return end
    S.m[$finished] = S.m[$finished] + 1
    number = S.m[$finished]
  end
  S.ended[id] = { key, reason, now, token, number }
  S.dirty[id] = true
  S.changed = true
end

-- Deletes what has been forgotten for long, some at a time: as many as this script has added, and a few more.
function F.forget()
  local m = S.m
  local rounds = math.ceil(#S.events / 32) + 1
  while rounds > 0 and m[$finished] - m[$forgotten] > $limit_finished + 32 do
    rounds = rounds - 1
    local numbers, ends, del = {}, {}, {}
    for n = 1, 32 do numbers[n] = string.format('n%.0f', m[$forgotten] + n) end
    local ids = call('HMGET', K[1], unpack(numbers))
    for n = 1, 32 do ends[n] = 'i' .. (ids[n] or '') end
    local stored = call('HMGET', K[1], unpack(ends))
    for n = 1, 32 do
      del[#del + 1] = numbers[n]
      -- An id that was forgotten may live or have ended again since: then it has no number, or another one.
      if stored[n] then
        local ended = { cmsgpack.unpack(stored[n]) }
        if ended[$ended_number] == m[$forgotten] + n then del[#del + 1] = ends[n] end
      end
    end
    call('HDEL', K[1], unpack(del))
    m[$forgotten] = m[$forgotten] + 32
  end
  call('HSET', K[1], 'm', struct.pack('$meta_format', unpack(m, 1, $meta_len)))
end

-- Notes that the process which waits for a request should look.
function F.hint(id, entry)
  local node = entry[$node]
  if node and node ~= '' then
    local ids = S.hints[node]
    if not ids then
      ids = {}
      S.hints[node] = ids
    end
    ids[#ids + 1] = id
  end
end

-- Sends the hints: one message per process, and one to those who read events along. A hint may fail; the poll is the net.
function F.tell()
  for node, ids in pairs(S.hints) do
    redis.pcall('$publish', K[7] .. node, cmsgpack.pack(ids))
  end
  if #S.events > 0 and S.m[$listeners] > now then
    redis.pcall('$publish', K[7], string.format('%.0f', S.m[$events]))
  end
end
