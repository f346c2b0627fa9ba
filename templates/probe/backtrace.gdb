if $_isvoid($_exitcode) && $_isvoid($_exitsignal)
  echo \n== bt\n
  bt
  echo \n== info threads\n
  info threads
  echo \n== bt full\n
  bt full
  echo \n== thread apply all bt\n
  thread apply all bt
  echo \n== x/i $pc\n
  x/i $pc
  echo \n== info registers\n
  info registers
end
