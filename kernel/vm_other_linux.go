//go:build linux && !amd64

package kernel

import "context"

func startVM(context.Context, Options) (*worker, error) {
	_, err := FindVM("")
	return nil, err
}
