-- Questions about what is stored. Owns views and pages; nothing here changes anything, and every answer is bounded.

function F.do_find(id)
  local entry = F.get(id)
  local ended = not entry and F.ended(id)
  if not entry and not ended then return cmsgpack.pack('') end
  local key = entry and entry[$key] or ended[$ended_key]
  return cmsgpack.pack(key) .. F.state(id, key)
end

-- A resource with the first of its line: depth, holders, waiters.
function F.add_view(values, key, waiters)
  local holders, line = F.holders(key, $max_page), {}
  local depth = F.depth(key)
  if waiters > 0 and depth > 0 then line = F.line(key, 0, waiters) end
  F.prefetch(holders)
  F.prefetch(line)
  values[#values + 1] = key
  values[#values + 1] = depth
  F.add_entries(values, holders)
  return F.add_entries(values, line), #holders + depth
end

function F.do_resource(key, waiters)
  local values, size = F.add_view({ 1 }, key, waiters)
  if size == 0 then return cmsgpack.pack(0) end
  return F.reply(values)
end

-- Holders in the order of keys and ids, between two bounds of the names.
function F.do_locks(low, high, limit)
  local members, ids = call('ZRANGEBYLEX', K[2], low, high, 'LIMIT', 0, limit), {}
  for n = 1, #members do
    local _, id = F.key_and_id(members[n])
    ids[n] = id
  end
  return F.reply(F.add_entries({}, F.present(ids)))
end

-- Holders of a selector that also have a pull request, if one is named, and keys with a prefix.
function F.do_selected(selector, low, high, limit, pull)
  local found = {}
  while #found < limit do
    local members = call('ZRANGEBYLEX', K[2], low, high, 'LIMIT', 0, 500)
    local ids = {}
    for n = 1, #members do
      local _, id = F.key_and_id(string.sub(members[n], #selector + 1))
      ids[n] = id
    end
    ids = F.present(ids)
    for n = 1, #ids do
      local id = ids[n]
      local wanted = string.byte(F.packed(id)) == $plain or F.get(id)[$token] > 0
      if wanted and pull then wanted = F.get(id)[$pull] == pull end
      if wanted and #found < limit then found[#found + 1] = id end
    end
    if #members < 500 then break end
    low = '(' .. members[#members]
  end
  return F.reply(F.add_entries({}, found))
end

-- Resources with a line, in the order of keys.
function F.do_queues(low, prefix, limit, waiters)
  local values, count = { 0 }, 0
  while count < limit and S.m[$waiting] > 0 do
    local member = call('ZRANGEBYLEX', K[3], low, '+', 'LIMIT', 0, 1)[1]
    if not member then break end
    local key = F.key_and_id(member)
    if string.sub(key, 1, #prefix) ~= prefix then break end
    F.add_view(values, key, waiters)
    count = count + 1
    low = '[' .. key .. '\1'
  end
  values[1] = count
  return F.reply(values)
end

-- One edge bundle: the request, the holders in its way, and those ahead of it whose modes do not get along.
function F.add_edge(values, id, entry, line, holders)
  values[#values + 1] = id
  values[#values + 1] = F.packed(id)
  local at = #values + 1
  values[at] = 0
  for n = 1, #holders do
    local holder = F.get(holders[n])
    if not (holder[$mode] == 1 and entry[$mode] == 1) then
      values[at] = values[at] + 1
      values[#values + 1] = holder[$owner]
      values[#values + 1] = holder[$token]
    end
  end
  local place, ahead = 1, {}
  while line[place] and line[place] ~= id do place = place + 1 end
  for n = place - 1, 1, -1 do
    local other = F.get(line[n])
    if not (other[$mode] == 1 and entry[$mode] == 1) then
      table.insert(ahead, other)
      if #ahead == $max_ahead then break end
    end
  end
  values[#values + 1] = #ahead
  for n = #ahead, 1, -1 do
    values[#values + 1] = ahead[n][$owner]
    values[#values + 1] = ahead[n][$sequence]
  end
end

function F.line_and_holders(key)
  local line, holders = F.line(key, 0, -1), F.holders(key, -1)
  F.prefetch(line)
  F.prefetch(holders)
  return line, holders
end

-- What one owner waits for.
function F.do_owner_edges(prefix, limit)
  local keys, ids = F.selected(prefix, '', limit)
  F.prefetch(ids)
  local values, count = { 0 }, 0
  for n = 1, math.min(#ids, limit) do
    local entry = F.get(ids[n])
    if entry and entry[$token] == 0 then
      local line, holders = F.line_and_holders(keys[n])
      F.add_edge(values, ids[n], entry, line, holders)
      count = count + 1
    end
  end
  values[1] = count
  return F.reply(values)
end

-- The whole graph after a key and id, in the order of keys, and of ids within a key: places change while somebody reads.
function F.do_edges(after, after_id, limit)
  local values, count = { 0 }, 0
  local low = after == '' and '-' or '[' .. after .. '\0'
  while count < limit and S.m[$waiting] > 0 do
    local member = call('ZRANGEBYLEX', K[3], low, '+', 'LIMIT', 0, 1)[1]
    if not member then break end
    local key = F.key_and_id(member)
    local line, holders = F.line_and_holders(key)
    local ids = {}
    for n = 1, #line do
      if key ~= after or F.before(after_id, line[n]) then ids[#ids + 1] = line[n] end
    end
    table.sort(ids, F.before)
    for n = 1, math.min(#ids, limit - count) do
      F.add_edge(values, ids[n], F.get(ids[n]), line, holders)
      count = count + 1
    end
    low = '[' .. key .. '\1'
  end
  values[1] = count
  return F.reply(values)
end

function F.do_stats()
  local m = S.m
  local oldest = call('ZRANGE', K[6], 0, 0, 'WITHSCORES')
  return cmsgpack.pack(now, m[$held], m[$waiting], m[$resources], oldest[2] and tonumber(oldest[2]) or 0,
    m[$waiting_low], m[$waiting_low + 1], m[$waiting_low + 2], m[$waiting_low + 3], m[$waiting_low + 4])
end

-- The newest event, the oldest that is kept, and those after a number.
function F.do_events(after, limit)
  local last, length = M[$events], call('LLEN', K[5])
  -- What this call has done is not in the list yet.
  local stored = last - #V
  local oldest = last - math.min(length + #V, $limit_events) + 1
  local missed = after + 1 < oldest or after > last
  local from = missed and oldest or after + 1
  local to = math.min(last, from + math.min(limit, 1000) - 1)
  local values = { last, oldest }
  if from <= stored and from <= to then
    -- Element 0 has the number stored - length + 1.
    local first = stored - length + 1
    local events = call('LRANGE', K[5], from - first, to - first)
    for n = 1, #events do values[n + 2] = events[n] end
  end
  for number = math.max(from, stored + 1), to do values[#values + 1] = V[number - stored] end
  return F.reply(values)
end

-- Keeps the events of the next while told to those who read along.
function F.do_listen(lasting)
  local m = S.m
  if m[$listeners] < now + lasting then
    m[$listeners] = now + lasting
    S.changed = true
  end
  return cmsgpack.pack(m[$events])
end

function F.do_now()
  return cmsgpack.pack(now)
end

-- Until when grants pause after a promotion: 0, where they do not. The class strict has another one.
function F.do_replication()
  return cmsgpack.pack(0)
end

-- A change that changes nothing: shows that the server takes changes.
function F.do_ping()
  S.changed = true
  return cmsgpack.pack(1)
end
