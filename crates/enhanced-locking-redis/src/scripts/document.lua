-- Documents beside the locks. Owns field 'd' name of the hash, member 'd' name of the names, and field f, which has how
-- many documents the bucket has and how many bytes; compares and writes in one step. Knows nothing of locks and of time.

function F.do_document(name)
  return cmsgpack.pack(call('HGET', K[1], '\2d' .. name))
end

-- Names between two bounds, in the order of their bytes.
function F.do_documents(low, high, limit)
  local members = call('ZRANGEBYLEX', K[2], low, high, 'LIMIT', 0, limit)
  for n = 1, #members do members[n] = string.sub(members[n], 2) end
  return F.reply({ #members, unpack(members) })
end

-- What is there, and whether that is expected: anything for 0, nothing for 1, a value for 2.
function F.found_document(name, kind, expected)
  local found = call('HGET', K[1], '\2d' .. name)
  local met = kind == 0 or (kind == 1 and not found) or (kind == 2 and found == expected)
  return found, met
end

function F.document_figures()
  local stored = call('HGET', K[1], '\2f')
  if not stored then return 0, 0 end
  return struct.unpack('<dd', stored)
end

-- The first thing it writes is refused if memory is full: then it has done nothing.
function F.do_put_document(name, kind, expected, value)
  local found, met = F.found_document(name, kind, expected)
  if not met then return cmsgpack.pack(2, found) end
  local count, bytes = F.document_figures()
  local before = found and #found or 0
  if not found and count >= $limit_documents then return cmsgpack.pack(3) end
  if #value > before and bytes - before + #value > $limit_document_bytes then return cmsgpack.pack(4) end
  if not found then count = count + 1 end
  local figures = struct.pack('<dd', count, bytes - before + #value)
  call('HSET', K[1], '\2d' .. name, value, '\2f', figures)
  if not found then call('ZADD', K[2], 0, 'd' .. name) end
  return cmsgpack.pack(1, found and 1 or 0)
end

-- Begins with what frees memory, so that it may go on when there is none.
function F.do_delete_document(name, kind, expected)
  local found, met = F.found_document(name, kind, expected)
  if not met then return cmsgpack.pack(2, found) end
  if not found then return cmsgpack.pack(1, 0) end
  local count, bytes = F.document_figures()
  call('HDEL', K[1], '\2d' .. name)
  call('ZREM', K[2], 'd' .. name)
  if count > 1 then
    call('HSET', K[1], '\2f', struct.pack('<dd', count - 1, bytes - #found))
  else
    call('HDEL', K[1], '\2f')
  end
  return cmsgpack.pack(1, 1)
end
