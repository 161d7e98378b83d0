-- The state of one bucket as a script sees it. Owns loading, caching and writing back the hash of the bucket; the sorted
-- sets are read and written where they are used, because a script must see its own changes in them.
--
-- KEYS: 1 hash, 2 names, 3 line, 4 deadlines, 5 events, 6 arrivals, 7 hints (a prefix of channels).
-- ARGV: 1 this process, 2 the time of a test, 3… one operation each.
--
-- Names of the form $name are replaced when the script is put together: constants of the layout, limits and windows.
-- All functions are fields of one table, and what they share is in another: few upvalues make closures cheap.
-- Its head, up to the first function, begins every call.
S, K, call = { node = ARGV[1] }, KEYS, redis.call

-- Entries, their stored form, and which of them must be written; false stands for what is known to be absent.
S.entry, S.blob, S.dirty = {}, {}, {}
-- The memory of ends, and how many requests of an owner wait.
S.ended, S.count, S.new_counts = {}, {}, {}
S.events, S.hints, S.changed = {}, {}, false

-- Reads the bucket's own figures, and what is stored of the given ids.
function F.load(ids)
  local fields = { 'm' }
  for n = 1, #ids do fields[n + 1] = 'i' .. ids[n] end
  local values = {}
  for from = 1, #fields, 4000 do
    local part = call('HMGET', K[1], unpack(fields, from, math.min(#fields, from + 3999)))
    if from == 1 then
      values = part
    else
      for n = 1, #part do values[from + n - 1] = part[n] end
    end
  end
  if values[1] then
    S.m = { struct.unpack('$meta_format', values[1]) }
  else
    S.m = { $meta_empty }
  end
  -- Time does not go back, or an end that was owed would not come; a clock that was wrong by days is not believed.
  local time = S.m[$time]
  if now < time and time - now < 86400000000 then now = time end
  S.m[$time] = now
  for n = 1, #ids do F.take(ids[n], values[n + 1]) end
end

-- Takes in what is stored of an id: a live entry, which is a list, or how it ended, which is not.
function F.take(id, stored)
  local first = stored and string.byte(stored)
  if first and (first == 220 or (first >= 144 and first < 160)) then
    S.blob[id], S.ended[id] = stored, false
  else
    S.entry[id], S.ended[id] = false, stored and { cmsgpack.unpack(stored) } or false
  end
end

-- The live entry of an id, or false.
function F.get(id)
  local entry = S.entry[id]
  if entry == nil then
    if not S.blob[id] then F.take(id, call('HGET', K[1], 'i' .. id)) end
    entry = S.blob[id] and cmsgpack.unpack(S.blob[id]) or false
    S.entry[id] = entry
  end
  return entry
end

-- Reads the entries of many ids in one go.
function F.prefetch(ids)
  local missing, fields = {}, {}
  for n = 1, #ids do
    local id = ids[n]
    if S.entry[id] == nil and not S.blob[id] then
      missing[#missing + 1] = id
      fields[#fields + 1] = 'i' .. id
    end
  end
  for from = 1, #missing, 4000 do
    local to = math.min(#missing, from + 3999)
    local blobs = call('HMGET', K[1], unpack(fields, from, to))
    for n = from, to do F.take(missing[n], blobs[n - from + 1]) end
  end
end

-- The stored form of a live entry.
function F.packed(id)
  local blob = S.blob[id]
  if not blob then
    blob = cmsgpack.pack(F.get(id))
    S.blob[id] = blob
  end
  return blob
end

-- Notes that an entry has changed.
function F.touch(id)
  S.blob[id] = nil
  S.dirty[id] = true
end

-- How many requests of an owner wait.
function F.waiting_of(owner)
  local count = S.count[owner]
  if not count then
    count = tonumber(call('HGET', K[1], 'c' .. owner) or '0')
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
  for from = 1, #args, 4000 do
    call(command, key, unpack(args, from, math.min(#args, from + 3999)))
  end
end

-- Writes back what has changed, appends the events, and tells those who wait.
function F.flush()
  if not S.changed then return end
  local set, del = { 'm', struct.pack('$meta_format', unpack(S.m, 1, $meta_len)) }, {}
  for id in pairs(S.dirty) do
    local ended = S.ended[id]
    if S.entry[id] then
      set[#set + 1] = 'i' .. id
      set[#set + 1] = F.packed(id)
    elseif ended then
      set[#set + 1] = 'i' .. id
      set[#set + 1] = cmsgpack.pack(unpack(ended, 1, $ended_len))
      set[#set + 1] = string.format('n%.0f', ended[$ended_number])
      set[#set + 1] = id
    else
      del[#del + 1] = 'i' .. id
    end
  end
  for owner in pairs(S.new_counts) do
    if S.count[owner] > 0 then
      set[#set + 1] = 'c' .. owner
      set[#set + 1] = string.format('%.0f', S.count[owner])
    else
      del[#del + 1] = 'c' .. owner
    end
  end
  F.many('HSET', K[1], set)
  if #del > 0 then F.many('HDEL', K[1], del) end
  if #S.events > 0 then F.append_events() end
  if S.m[$finished] - S.m[$forgotten] > $limit_finished + 32 then F.forget() end
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
