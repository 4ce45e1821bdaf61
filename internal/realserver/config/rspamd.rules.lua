-- What becomes of a message follows from its recipient's detail: bob+reject@...
local scores = {reject = 20, subject = 11, header = 7}
local seen = {}

local function detail(task)
  local recipients = task:get_recipients('smtp') or {}
  return recipients[1] and recipients[1].user:match('%+(.*)$') or ''
end

for name, score in pairs(scores) do
  rspamd_config:register_symbol{name = 'TEST_' .. name:upper(), score = score, callback = function(task) return detail(task) == name end}
end

-- The module greylist wants a Redis; this one remembers by itself, for 4 s at least.
rspamd_config:register_symbol{name = 'TEST_GREYLIST', type = 'prefilter', callback = function(task)
  local id = task:get_message_id()
  seen[id] = seen[id] or os.time()
  if detail(task) == 'greylist' and os.time() - seen[id] < 5 then
    task:set_pre_result('soft reject', 'Try again later', 'greylist')
  end
end}
