package kernel

func registerHooks() {}
