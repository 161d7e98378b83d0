-- The state of one bucket as a script sees it. Owns loading, caching and writing back the hash of the bucket; the sorted
-- sets are read and written where they are used, because a script must see its own changes in them.
--
-- KEYS: 1 hash, 2 names, 3 line, 4 deadlines, 5 events, 6 arrivals, 7 hints (a prefix of channels), 8 ends.
-- ARGV: 1 this process, 2 the time of a test, 3… one operation each.
--
-- Names of the form $name are replaced when the script is put together: constants of the layout, limits and windows.
-- All functions are fields of one table. What most operations touch is in variables of one letter, the rest in S.
-- Its head, up to the first function, begins every call.
S, K, call = { node = ARGV[1] }, KEYS, redis.call

-- The stored form of ids, their live entries, and which of them must be written; false stands for what is known to be
-- absent. An entry without a stored form has changed since.
B, E, D = {}, {}, {}
-- Events, and ids whose ends are to be forgotten some day.
V, L = {}, {}
-- How requests ended, and how many requests of an owner wait.
S.ended, S.count, S.new_counts = {}, {}, {}
S.hints, S.changed = {}, false
-- Changes of the names and deadlines that are noted only.
A, R, P, Q, T, pending = {}, {}, {}, {}, {}, false

-- Reads the bucket's own figures, and what is stored of the given ids.
function F.load(ids)
  local fields = { '\2m' }
  for n = 1, #ids do fields[n + 1] = ids[n] end
  local values = {}
  if #fields <= 4000 then
    values = call('HMGET', K[1], unpack(fields))
  else
    for from = 1, #fields, 4000 do
      local part = call('HMGET', K[1], unpack(fields, from, math.min(#fields, from + 3999)))
      for n = 1, #part do values[from + n - 1] = part[n] end
    end
  end
  if values[1] then
    M = { struct.unpack('$meta_format', values[1]) }
  else
    M = { $meta_empty }
  end
  S.m = M
  -- Time does not go back, or an end that was owed would not come; a clock that was wrong by days is not believed.
  local time = M[$time]
  if now < time and time - now < 86400000000 then now = time end
  M[$time] = now
  for n = 1, #ids do B[ids[n]] = values[n + 1] end
end

-- What is stored of an id: a live entry, how it ended, or false.
function F.stored(id)
  local blob = B[id]
  if blob == nil then
    blob = call('HGET', K[1], id)
    B[id] = blob
  end
  return blob
end

-- The live entry of an id, or false.
function F.get(id)
  local entry = E[id]
  if entry == nil then
    local blob = F.stored(id)
    entry = blob and string.byte(blob) ~= $over and F.decode(blob) or false
    E[id] = entry
  end
  return entry
end

-- Stored forms. A holder that nobody waits for to claim, which most are, is $plain and has a short head; every other live
-- entry is $other. Behind the head comes what the request said, packed by whoever asked, and then its process.
function F.decode(blob)
  local plain = string.byte(blob) == $plain
  local head = plain and $plain_len or $other_len
  local entry = { cmsgpack.unpack_limit(blob, $said, head) }
  local at = entry[1]
  if at < 0 then at = #blob end
  entry[$tail], entry[$node] = string.sub(blob, head + 1, at), string.sub(blob, at + 1)
  local _
  if plain then
    _, entry[$token], entry[$since], entry[$limit] = struct.unpack('$plain_format', blob)
    entry[$alive], entry[$sequence] = 0, 0
  else
    _, entry[$token], entry[$since], entry[$limit], entry[$alive], entry[$sequence] =
      struct.unpack('$other_format', blob)
  end
  return entry
end

function F.encode(entry)
  local tail = entry[$tail]
  if not tail then
    tail = cmsgpack.pack(unpack(entry, $key, $metadata))
    entry[$tail] = tail
  end
  if entry[$token] > 0 and entry[$alive] == 0 and entry[$node] == '' then
    return struct.pack('$plain_format', $plain, entry[$token], entry[$since], entry[$limit]) .. tail
  end
  return struct.pack('$other_format', $other, entry[$token], entry[$since], entry[$limit], entry[$alive],
    entry[$sequence]) .. tail .. entry[$node]
end

-- The entry that a request becomes, from what it says.
function F.wanted(tail)
  local entry = { cmsgpack.unpack_limit(tail, $said, 0) }
  entry[$tail] = tail
  entry[$token], entry[$since], entry[$limit], entry[$alive], entry[$sequence], entry[$node] = 0, 0, 0, 0, 0, ''
  return entry
end

-- Reads the entries of many ids in one go.
function F.prefetch(ids)
  local missing = {}
  for n = 1, #ids do
    local id = ids[n]
    if E[id] == nil and B[id] == nil then missing[#missing + 1] = id end
  end
  for from = 1, #missing, 4000 do
    local to = math.min(#missing, from + 3999)
    local blobs = call('HMGET', K[1], unpack(missing, from, to))
    for n = from, to do B[missing[n]] = blobs[n - from + 1] end
  end
end

-- Reads the entries of many ids in one go, and leaves those out that are gone.
function F.present(ids)
  F.prefetch(ids)
  local there = {}
  for n = 1, #ids do
    local id = ids[n]
    local live = E[id]
    if live == nil then live = B[id] and string.byte(B[id]) ~= $over end
    if live then there[#there + 1] = id end
  end
  return there
end

-- The stored form of a live entry.
function F.packed(id)
  local blob = B[id]
  if not blob then
    blob = F.encode(F.get(id))
    B[id] = blob
  end
  return blob
end

-- Notes that an entry has changed.
function F.touch(id)
  B[id] = nil
  D[id] = true
end

-- How many requests of an owner wait.
function F.waiting_of(owner)
  local count = S.count[owner]
  if not count then
    count = tonumber(call('HGET', K[1], '\2c' .. owner) or '0')
    S.count[owner] = count
  end
  return count
end

function F.count_waiting(owner, by)
  S.count[owner] = F.waiting_of(owner) + by
  S.new_counts[owner] = true
end

-- Calls a command with many arguments, in parts that fit on the stack. Parts have an even number of arguments.
function F.many(command, key, args)
  local count = #args
  if count == 0 then return end
  if count <= 4000 then return call(command, key, unpack(args)) end
  local answer
  for from = 1, count, 4000 do
    answer = call(command, key, unpack(args, from, math.min(count, from + 3999)))
  end
  return answer
end

-- Writes back what has changed, appends the events, and tells those who wait.
function F.flush()
  if not S.changed then return end
  F.sync()
  local set, del = { '\2m', struct.pack('$meta_format', unpack(M, 1, $meta_len)) }, {}
  for id in pairs(D) do
    local blob = B[id]
    if blob == nil then blob = F.packed(id) end
    if blob then
      set[#set + 1] = id
      set[#set + 1] = blob
    else
      del[#del + 1] = id
    end
  end
  for owner in pairs(S.new_counts) do
    if S.count[owner] > 0 then
      set[#set + 1] = '\2c' .. owner
      set[#set + 1] = string.format('%.0f', S.count[owner])
    else
      del[#del + 1] = '\2c' .. owner
    end
  end
  F.many('HSET', K[1], set)
  F.many('HDEL', K[1], del)
  F.append_events()
  local length = F.many('RPUSH', K[8], L)
  if length and length > $limit_finished + 32 then F.forget(length) end
  F.tell()
end

-- Packs many values one after the other.
function F.reply(values)
  local n = #values
  if n <= 2000 then return cmsgpack.pack(unpack(values)) end
  local parts = {}
  for from = 1, n, 2000 do
    parts[#parts + 1] = cmsgpack.pack(unpack(values, from, math.min(n, from + 1999)))
  end
  return table.concat(parts)
end

-- Adds the ids and stored forms of live entries to a reply, with their number in front.
function F.add_entries(values, ids)
  values[#values + 1] = #ids
  for n = 1, #ids do
    values[#values + 1] = ids[n]
    values[#values + 1] = F.packed(ids[n])
  end
  return values
end
