package runtime

import (
	"encoding/binary"
	"fmt"

	"bpfvm/spec"
)

func init() {
	register(map[string]helperFunc{
		"bpf_sk_redirect_map":     sockRedirect(false),
		"bpf_sk_redirect_hash":    sockRedirect(true),
		"bpf_msg_redirect_map":    sockRedirect(false),
		"bpf_msg_redirect_hash":   sockRedirect(true),
		"bpf_sock_map_update":     sockMapUpdate,
		"bpf_sock_hash_update":    sockMapUpdate,
		"bpf_sk_select_reuseport": selectReuseport,
	})
}

// skDrop is SK_DROP (include/uapi/linux/bpf.h, enum sk_action).
const skDrop = 0

// sockRedirect makes bpf_sk_redirect_map(skb, map, key, flags), bpf_msg_redirect_map
// and, where the key is in memory, their siblings for hashes: SK_PASS and the data
// goes to the socket there, or SK_DROP when there is none that is connected.
func sockRedirect(hash bool) helperFunc {
	return func(e *Env, _, handle, key, flags, _ uint64) (uint64, error) {
		m, err := e.sockmap(handle)
		if err != nil {
			return 0, err
		}
		k := binary.LittleEndian.AppendUint32(nil, uint32(key))
		if hash {
			if k, err = e.read(key, uint64(m.spec.KeySize)); err != nil {
				return 0, err
			}
		}
		if m.hash() != hash {
			return 0, fmt.Errorf("map %q of type %s: the helper is for another one", m.Name(), m.spec.Type)
		}
		cookie := m.cookie(k)
		if flags&^redirectIngress != 0 || cookie == 0 {
			return skDrop, nil
		}
		s := e.rt.socketOf(cookie)
		if s == nil || s.Protocol == protoTCP && s.state() == TCPListen {
			return skDrop, nil
		}
		e.redirect = &Redirect{Kind: "map", Map: m.Name(), Key: uint64(binary.LittleEndian.Uint32(append(k, 0, 0, 0, 0))), Flags: flags}
		return skPass, nil
	}
}

// sockmap returns the sockmap or sockhash behind a handle.
func (e *Env) sockmap(handle uint64) (*Sockmap, error) {
	m, err := e.rt.mapAt(handle)
	if err != nil {
		return nil, err
	}
	if s, ok := m.(*Sockmap); ok {
		return s, nil
	}
	return nil, fmt.Errorf("map %q of type %s holds no sockets", m.Name(), m.Spec().Type)
}

// sockMapUpdate is bpf_sock_map_update(skops, map, key, flags) and its sibling for
// hashes: the socket of the event goes into the map.
func sockMapUpdate(e *Env, _, handle, key, flags, _ uint64) (uint64, error) {
	m, err := e.sockmap(handle)
	if err != nil {
		return 0, err
	}
	k, err := e.read(key, uint64(m.spec.KeySize))
	if err != nil {
		return 0, err
	}
	f := e.prog.Type().Ctx().Field("sk")
	sock := binary.LittleEndian.Uint64(e.rt.mem.Raw(e.ctx.Base+uint64(f.Off), 8))
	if sock == 0 {
		return spec.EOPNOTSUPP.Ret(), nil
	}
	errno, err := m.updateSock(e, k, sock, flags)
	return errno.Ret(), err
}

// selectReuseport is bpf_sk_select_reuseport(reuse, map, key, flags): the packet goes
// to the socket that the map holds there.
func selectReuseport(e *Env, _, handle, key, _, _ uint64) (uint64, error) {
	m, err := e.rt.mapAt(handle)
	if err != nil {
		return 0, err
	}
	k, err := e.read(key, uint64(m.Spec().KeySize))
	if err != nil {
		return 0, err
	}
	cookie := uint32(0)
	switch m := m.(type) {
	case *ReuseportArray:
		if i := indexOf(k); i < m.spec.MaxEntries {
			cookie = m.Socket(i)
		}
	case *Sockmap:
		cookie = m.cookie(k)
	default:
		return 0, fmt.Errorf("map %q of type %s holds no sockets", m.Name(), m.Spec().Type)
	}
	s := e.rt.socketOf(cookie)
	if cookie == 0 || s == nil {
		return spec.ENOENT.Ret(), nil
	}
	e.assigned = s
	return 0, nil
}
