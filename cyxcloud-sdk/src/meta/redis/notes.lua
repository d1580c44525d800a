-- What every script about notes begins with. KEYS[1] is the mark, KEYS[2] the note; ARGV[1] the time, or nothing where this server's clock decides.
local now = tonumber(ARGV[1])
if not now then
  local time = redis.call('TIME')
  now = time[1] * 1000 + math.floor(time[2] / 1000)
end

local function text(number)
  return string.format('%.0f', number)
end

-- A server that throws away what it has no room for forgets without a trace.
local memory = redis.call('INFO', 'memory')
if string.match(memory, 'maxmemory:(%d+)') ~= '0' and string.match(memory, 'maxmemory_policy:([%w-]+)') ~= 'noeviction' then
  error('Redis evicts keys: set maxmemory-policy to noeviction')
end

-- The mark says since when this server has forgotten nothing. It is made anew when it is gone (the server was emptied) and when it is of another life of the
-- server (which may have come back with an older copy of its memory, or be a replica that had not heard everything), or of another history: a server that
-- was a replica for a while has that of its master.
local life = assert(string.match(redis.call('INFO', 'server'), 'run_id:(%x+)'), 'a server without run_id')
local run = life .. assert(string.match(redis.call('INFO', 'replication'), 'master_replid:(%x+)'), 'a server without master_replid')
local since = tonumber(string.match(redis.call('GET', KEYS[1]) or '', '^' .. run .. ' (%d+)$'))
if not since or since > now then
  since = now
  redis.call('SET', KEYS[1], run .. ' ' .. text(now))
end

-- Value and end of what is kept and not over. Redis itself throws it away a minute later.
local function live(key)
  local kept = redis.call('GET', key)
  if not kept then return nil end
  local expires, at = string.match(kept, '^(%d+) ()')
  -- To take it for nothing would let happen twice what may happen once.
  assert(expires, 'a note is damaged')
  if tonumber(expires) <= now then return nil end
  return string.sub(kept, at), expires
end

local function keep(key, value, ms)
  local kept = text(now + ms) .. ' ' .. value
  if ms < 1e12 then
    redis.call('SET', key, kept, 'PX', text(ms + 60000))
  else
    redis.call('SET', key, kept)
  end
end
