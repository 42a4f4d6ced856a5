//go:build !linux

package kernel

func registerHooks() {}
