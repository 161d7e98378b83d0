-- The pause of grants after a promotion: in the script only where the class is strict. Owns field r of the bucket: the
-- replication id of the server, when the pause ends (0 if all is handed on), the longest lease, and until when one of
-- that length may be outstanding. A server that was promoted, or was started again, has another replication id; what it
-- does not know of may be held until the longest lease is over.

function F.look_for_promotion()
  local info = call('INFO', 'replication')
  local at = string.find(info, 'master_replid:', 1, true) + 14
  local id = string.sub(info, at, at + 39)
  local stored = call('HGET', K[1], '\2r')
  if stored then
    S.replid, S.pause, S.longest, S.outstanding = struct.unpack('<c40ddd', stored)
  else
    -- Whoever opens a store marks its buckets. One without a mark has lost it.
    S.replid, S.pause, S.longest, S.outstanding, S.unmarked = '', 0, 0, 0, true
  end
  if S.replid ~= id then
    S.replid, S.pause = id, math.max(S.pause, now + math.max(S.longest, $least_pause))
    F.keep_replication()
  end
  if now < S.pause then S.paused = S.pause end
end

function F.keep_replication()
  call('HSET', K[1], '\2r', struct.pack('<c40ddd', S.replid, S.pause, S.longest, S.outstanding))
end

-- Notes a lease before anybody has it. Written only from time to time: what is outstanding is taken as twice as long.
function F.note_lease(lease)
  if lease > S.longest or now > S.outstanding then
    S.longest = lease
  elseif now + lease <= S.outstanding then
    return
  end
  S.outstanding = now + 2 * lease
  F.keep_replication()
end

-- After the pause, hands on what was not handed on during it: some keys of the line at a time.
function F.end_pause()
  if S.pause == 0 or S.paused then return end
  local from = call('HGET', K[1], '\2q')
  for n = 1, 256 do
    local low = from and '(' .. from .. '\1' or '-'
    local member = call('ZRANGEBYLEX', K[3], low, '+', 'LIMIT', 0, 1)[1]
    if not member then
      S.pause = 0
      F.keep_replication()
      call('HDEL', K[1], '\2q')
      return
    end
    from = string.sub(member, 1, string.find(member, '\0', 1, true) - 1)
    F.promote(from)
  end
  call('HSET', K[1], '\2q', from)
end

-- The earlier of a deadline and the end of the pause.
function F.or_pause(next)
  if S.pause == 0 then return next end
  if next == 0 then return S.pause end
  return math.min(next, S.pause)
end

-- Tells until when grants pause. Whoever opens the store marks the bucket, if it is new.
function F.do_replication(mark)
  if mark == 1 and S.unmarked then
    S.pause, S.paused, S.unmarked = 0, nil, nil
    F.keep_replication()
  end
  return cmsgpack.pack(S.pause)
end
