package runtime

import (
	"encoding/binary"

	"bpfvm/spec"
	"bpfvm/vm"
)

// Maps of sockets. User space stores the file descriptor of a socket and reads its
// cookie; here a socket is known by one number for both, its cookie. The scenario says
// what socket has it, or else it is a connection that nothing is known of: every number
// but 0 is a socket. A lookup by a program gives the socket: a struct bpf_sock.

// sockets are those that the scenario does not know, by cookie.
type sockets map[uint32]*Socket

// socketOf finds a socket.
func (rt *Runtime) socketOf(cookie uint32) *Socket {
	for i := range rt.World.Sockets {
		if s := &rt.World.Sockets[i]; s.Cookie == uint64(cookie) {
			return s
		}
	}
	s := rt.sockets[cookie]
	if s == nil && len(rt.sockets) < maxObjects {
		if rt.sockets == nil {
			rt.sockets = sockets{}
		}
		s = &Socket{Protocol: protoTCP, State: TCPEstablished, Cookie: uint64(cookie)}
		rt.sockets[cookie] = s
	}
	return s
}

// addrOf returns the address of a socket's struct bpf_sock; 0 for socket 0 and where
// there is no room for it.
func (rt *Runtime) addrOf(cookie uint32) uint64 {
	if cookie == 0 {
		return 0
	}
	s := rt.socketOf(cookie)
	if s == nil {
		return 0
	}
	ref, err := rt.sockAddr(s)
	if err != nil {
		return 0
	}
	return ref.sock
}

// sockNumber reads the value that user space passes: a file descriptor in 4 or 8
// bytes, which is not negative.
func sockNumber(value []byte) (uint32, spec.Errno) {
	n := uint64(binary.LittleEndian.Uint32(value))
	if len(value) == 8 {
		n = binary.LittleEndian.Uint64(value)
	}
	switch {
	case n > 1<<31-1:
		return 0, spec.EINVAL
	case n == 0:
		return 0, spec.EBADF
	}
	return uint32(n), 0
}

// sockCookie gives a socket to user space. Only values of 8 bytes have room for a
// cookie.
func (b *mapBase) sockCookie(cookie uint32) ([]byte, spec.Errno) {
	switch {
	case b.spec.ValueSize != 8:
		return nil, spec.ENOSPC
	case cookie == 0:
		return nil, spec.ENOENT
	}
	return binary.LittleEndian.AppendUint64(nil, uint64(cookie)), 0
}

// Sockmap is a BPF_MAP_TYPE_SOCKMAP or BPF_MAP_TYPE_SOCKHASH (net/core/sock_map.c):
// sockets between which programs redirect data, by index or by key.
type Sockmap struct {
	mapBase
	cookies places[uint32] // of an array
	refs    refTable       // of a hash
}

// maxSockKey is MAX_BPF_STACK: programs make the key on their stack.
const maxSockKey = vm.StackSize

// checkSockmap is sock_map_alloc and sock_hash_alloc, their first parts.
func checkSockmap(s *spec.MapSpec, _ int) spec.Errno {
	const maxSockBuckets = (1<<32 - 1) / 16 // of struct bpf_shtab_bucket
	hash := s.Type == spec.MapSockhash
	switch {
	case s.MaxEntries == 0, s.ValueSize != 4 && s.ValueSize != 8, s.Flags&^objectMapFlags != 0:
		return spec.EINVAL
	case !hash && (s.KeySize != 4 || s.MaxEntries > 1<<31-1), hash && s.KeySize == 0:
		return spec.EINVAL
	case hash && s.KeySize > maxSockKey:
		return spec.E2BIG
	case hash && s.MaxEntries > maxSockBuckets/2+1:
		return spec.EINVAL
	}
	return 0
}

func newSockmap(b mapBase) (kmap, error) {
	m := &Sockmap{mapBase: b}
	if b.spec.Type == spec.MapSockhash {
		m.refs = newRefTable(&m.mapBase)
	}
	return m, b.fitPlaces()
}

func (m *Sockmap) hash() bool { return m.spec.Type == spec.MapSockhash }

// Cookie returns the socket of a key, or 0.
func (m *Sockmap) cookie(key []byte) uint32 {
	if m.hash() {
		return m.refs.get(key)
	}
	return m.cookies.get(binary.LittleEndian.Uint32(key))
}

// lookupElem gives the socket.
func (m *Sockmap) lookupElem(_ int, key []byte) (uint64, spec.Errno) {
	return m.rt.addrOf(m.cookie(key)), 0
}

// updateElem stores the value of user space (sock_map_update_elem_sys).
func (m *Sockmap) updateElem(_ int, key, value []byte, flags uint64) spec.Errno {
	cookie, e := sockNumber(value)
	if e != 0 {
		return e
	}
	return m.set(key, cookie, flags)
}

// updateSock stores the socket that a program holds (sock_map_update_elem).
func (m *Sockmap) updateSock(e *Env, key []byte, sock, flags uint64) (spec.Errno, error) {
	ref, err := e.sock(sock)
	if err != nil {
		return 0, err
	}
	cookie := m.rt.cookieOf(ref.s)
	if cookie > 1<<31-1 { // more than user space has numbers for
		return spec.EOPNOTSUPP, nil
	}
	return m.set(key, uint32(cookie), flags), nil
}

// set is sock_map_update_common and sock_hash_update_common.
func (m *Sockmap) set(key []byte, cookie uint32, flags uint64) spec.Errno {
	if flags > spec.UpdateExist {
		return spec.EINVAL
	}
	if m.hash() {
		return m.refs.set(key, cookie, flags, false)
	}
	index := binary.LittleEndian.Uint32(key)
	old := m.cookies.get(index)
	switch {
	case index >= m.spec.MaxEntries:
		return spec.E2BIG
	case old != 0 && flags == spec.UpdateNoExist:
		return spec.EEXIST
	case old == 0 && flags == spec.UpdateExist:
		return spec.ENOENT
	}
	m.cookies.set(index, cookie)
	return 0
}

// deleteElem is sock_map_delete_elem and sock_hash_delete_elem.
func (m *Sockmap) deleteElem(key []byte) spec.Errno {
	if m.hash() {
		return m.refs.t.remove(key)
	}
	if m.cookies.take(binary.LittleEndian.Uint32(key), m.spec.MaxEntries) != 0 {
		return spec.EINVAL
	}
	return 0
}

func (m *Sockmap) sysLookup(key []byte) ([]byte, spec.Errno) { return m.sockCookie(m.cookie(key)) }

// nextKey is sock_map_get_next_key, which gives empty places too, and
// sock_hash_get_next_key.
func (m *Sockmap) nextKey(key []byte) ([]byte, spec.Errno) {
	if m.hash() {
		return m.refs.t.nextKey(key)
	}
	return m.indexAfter(key)
}
