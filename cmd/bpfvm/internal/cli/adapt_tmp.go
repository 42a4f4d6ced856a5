package cli

func cmdRun() *command { return cmdVersion() }
