-- What is told: events, the memory of ends, hints to waiting processes. Owns their form and their bounds.

-- Notes an event. `blob` is the request it happened to, as stored at that moment; '' for none.
function F.emit(kind, id, blob, a, b, c)
  local number = M[$events] + 1
  M[$events] = number
  V[#V + 1] = struct.pack('$event_format', kind, number, now, a, #id, #b, #c) .. id .. b .. c .. blob
  S.changed = true
end

-- Appends the new events, and cuts off the oldest from time to time: readers know how many count.
function F.append_events()
  local length = F.many('RPUSH', K[5], V)
  if length and length > $limit_events + 64 then call('LTRIM', K[5], -$limit_events - 1, -1) end
end

-- How a request came to its end, if it is remembered.
function F.ended(id, key)
  local ended = S.ended[id]
  if ended == nil then
    local blob = not E[id] and F.stored(id)
    ended = false
    if blob and string.byte(blob) == $over then
      ended = { struct.unpack('$over_format', blob) }
      -- Behind the numbers, where the place of the rest is told.
      ended[$ended_key] = string.sub(blob, ended[$ended_key])
    end
    S.ended[id] = ended
  end
  if not ended or ended[$ended_number] <= M[$finished] - $limit_finished then return nil end
  if key and ended[$ended_key] ~= key then return nil end
  return ended
end

-- Remembers an end. One that is remembered already keeps its place among those to be forgotten.
function F.remember(id, key, reason, token)
  local known = F.ended(id)
  F.over(id, key, reason, token, known and known[$ended_number])
end

-- Stores how an id ended instead of what it was; with a new number, if it has none.
function F.over(id, key, reason, token, number)
  S.ended[id], E[id], D[id], S.changed = nil, false, true, true
  if not number then
    if $limit_finished == 0 then
      B[id] = false
      return
    end
    number = M[$finished] + 1
    M[$finished] = number
    L[#L + 1] = id
  end
  B[id] = struct.pack('$over_format', $over, reason, now, token, number) .. key
end

-- Deletes what has been forgotten for long, from the front of the list: some at a time, as many as this script has added
-- and a few more. The list alone tells how much that is.
function F.forget(length)
  local rounds = math.ceil(#V / 32) + 1
  while rounds > 0 and length > $limit_finished + 32 do
    local ids, del = call('LRANGE', K[8], 0, 31), {}
    if #ids == 0 then return end
    call('LTRIM', K[8], #ids, -1)
    rounds, length = rounds - 1, length - #ids
    local stored = call('HMGET', K[1], unpack(ids))
    for n = 1, #ids do
      local blob = stored[n]
      -- An id that was forgotten may live or have ended again since: then it has no number, or a newer one.
      if blob and string.byte(blob) == $over then
        local _, _, _, _, number = struct.unpack('$over_format', blob)
        if number <= M[$finished] - $limit_finished then del[#del + 1] = ids[n] end
      end
    end
    F.many('HDEL', K[1], del)
  end
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
  if #V > 0 and M[$listeners] > now then
    redis.pcall('$publish', K[7], string.format('%.0f', M[$events]))
  end
end
