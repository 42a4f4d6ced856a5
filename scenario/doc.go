// Package scenario holds the inputs of a run as data: event scripts, packets and
// captures, the contents of maps, and what is expected of the run. [Parse] reads a
// script, [Run] lets it happen to the programs of a collection and compares.
//
// # Event scripts
//
// A script says what the world does while programs run. One line is one thing that
// happens; ";" separates several on a line, "#" begins a comment. This script is
// complete. It is for testdata/trace/openat.c, which counts opened files by the
// command that opens them and sends the names to user space:
//
//	# The world: time starts at 1 s, and each look at the clock takes 1 us.
//	clock start=1s step=1us ; random seed=7 ; cpu 0
//	task pid=42 comm=bash uid=1000 parent=1
//
//	# A helper that always gives the same, or one value after the other.
//	mock bpf_get_current_uid_gid = 0x3e8000003e8, 0
//
//	# What is in memory outside of the programs' own, and in maps.
//	mem 0x7fffdead0000 = str("/tmp/fixed")
//	map opens[{"name": "old"}] = 7
//
//	# Events: [at TIME] [who and where] HOOK:TARGET [arguments]
//	at 1ms pid=42 tracepoint:syscalls/sys_enter_openat dfd=-100 filename=str("/etc/passwd")
//	expect r0 == 0 ; expect trap none
//	at 2ms pid=7 comm=cc1 cpu=0 tracepoint:syscalls/sys_enter_openat filename=0x7fffdead0000
//	at 3ms repeat=10 every=100us pid=42 tracepoint:syscalls/sys_enter_openat filename=str("x")
//
//	# What must be true once everything above has happened.
//	expect events == 12
//	expect map opens[str("bash")] == 11 ; expect map opens entries == 3
//	expect map opens missing str("cron")
//	expect ringbuf events == 12 records ; expect trace none
//
// The statements:
//
//	clock start=T step=T     time at the beginning; time that a reading takes
//	random seed=N            of bpf_get_prandom_u32
//	cpu N                    for the events below
//	mock HELPER = V, V, ..   R0 of each call; the last value stays
//	mem ADDR = VALUE         bytes at an address; below 0xffff8.. it is user memory
//	task pid=N ..            pid tgid uid gid comm parent cgroup of a process
//	stack kernel = A, A, ..  call stack of the events below, innermost address first;
//	                         stack user = .. is that of the process
//	link index=N ..          a network interface: name mtu mac="02:..:01" addr="10.0.0.1"
//	                         forwarding=0 (index 1 is lo)
//	route to="NET" ..        link via src mtu metric table, type=blackhole unreachable
//	                         prohibit local
//	neigh ip="A" link=N mac="M"
//	sock proto=tcp local="A:PORT" ..
//	                         a socket: remote state=listen link mark priority cookie uid
//	                         cgroup v6only; proto is tcp or udp
//	cgroup id=N parent=N     where a cgroup lies; the root is 1
//	map NAME[KEY] = VALUE    an element, before the first event
//	expect ..                see below
//	at T SETTINGS EVENT      at is the time since the start of the script; without it
//	                         an event happens one step after the one above it
//
// Settings are pid, tgid, uid, gid, comm, cgroup, cpu, repeat and every; a pid that was seen
// before brings its other settings with it. Events happen in order of time, those of
// one time in the order of the script.
//
//	kprobe:SYMBOL kretprobe:SYMBOL uprobe:PATH:SYMBOL uretprobe:PATH:SYMBOL
//	ksyscall:NAME kretsyscall:NAME usdt:PATH:PROVIDER:NAME
//	                         registers by name: di si dx cx r8 r9 ax ip sp ..;
//	                         arg1 to arg6 are di si dx cx r8 r9, ret is ax; in a
//	                         kprobe also the names of the function's parameters
//	tracepoint:CATEGORY/NAME fields by name, or record=bytes("..")
//	raw_tracepoint:NAME tp_btf:NAME
//	                         arguments by name, or arg0 to arg11; buffer=bytes("..")
//	                         is what writable programs get
//	fentry:FUNCTION fexit:FUNCTION fmod_ret:FUNCTION lsm:HOOK lsm_cgroup:HOOK
//	                         arguments by name, or arg0 to arg11; ret is the result
//	iter:KIND                members of struct bpf_iter__KIND; key=bytes("..")
//	perf_event[:NAME]        registers, sample_period, addr
//	syscall                  ctx=bytes("..")
//	xdp tc socket tcx:ingress tcx:egress netkit:primary netkit:peer flow_dissector
//	cgroup_skb:ingress cgroup_skb:egress netfilter lwt_in lwt_out lwt_xmit
//	lwt_seg6local sk_skb:stream_verdict ..
//	                         packet="WORDS", hex="..", file="F", pcap="F" [frame=N],
//	                         and fields of the context: mark=1 rx_queue_index=2
//	cgroup:connect4 cgroup:sock_create cgroup:dev cgroup:sysctl cgroup:getsockopt ..
//	sockops sk_msg sk_lookup sk_reuseport lirc_mode2
//	                         fields of the context: user_ip4=10.0.0.1 op=4, of its
//	                         socket: sk.src_port=80, sk=0 for none; data=bytes("..");
//	                         name="net/core/somaxconn" value="128" new_value="256"
//	                         of a sysctl
//
// The names of arguments are those of the kernel's BTF. Pointers to structures that
// an event does not give lead to zeros, or to the current task_struct; other
// arguments are zero. Hooks may be written as sections are, cgroup/connect4. A hook
// that holds several programs runs them as Linux does, see runtime.Fire, and a line
// says what it came to; at hooks that hold one, and at packet hooks without a place
// (cgroup_skb packet=".."), each program of the type runs alone.
//
// # Values
//
//	42 -100 0x2a 10ms        numbers; a duration counts nanoseconds
//	str("x")                 text and its NUL; str("x", 16) in 16 bytes
//	bytes("00 ff")           bytes
//	u8 u16 u32 u64           numbers of a size, u32(1, 2); be16 be32 be64 in network order
//	zero(N)                  N zero bytes
//	cat(u32(1), str("x", 4)) one after the other
//	ptr(u64(1, 2))           an address of the values
//	task(42)                 the address of the task_struct of pid 42
//	ptr(struct filename{name=str("x"), refcnt=1})
//	                         an address of a structure of the kernel, laid out by
//	                         its BTF; what is not given is zero
//	ip("10.0.0.1")           4 or 16 bytes; fields of contexts take 10.0.0.1 and ::1
//	                         as they are, and names of constants: AF_INET6
//	{"name": "x"} [1, 2]     JSON, by the BTF type of the key or value
//
// In the arguments of an event, str, bytes and ptr put their bytes into memory and
// give the address: of kernel memory from 0xffff888300000000 on, of user memory from
// 0x7f0000000000 on where the event is a system call's tracepoint or a uprobe.
// user_str, kernel_str and so on say which. Zeros follow up to the next multiple of
// 256 bytes; beyond that, reading gives -EFAULT. In keys and values of maps they are
// the bytes themselves, and strings are filled up with zeros.
//
// # Maps
//
// An element is "map NAME[KEY] = VALUE", or {"key": KEY, "value": VALUE} in the JSON
// that [Maps.Load] reads and [DumpMaps] writes. Values that stand for something are
// written as it is called:
//
//	prog array                  the name of a program
//	array or hash of maps       the name of a map of the object
//	cgroup array                the cgroup's id
//	devmap, devmap hash         the interface's index; {"ifindex": 2, "prog": 0}
//	cpumap                      the length of the CPU's queue; {"qsize": 192, "prog": 0}
//	xskmap, sockmap, sockhash,
//	reuseport array             the socket's cookie
//	storage of tasks, sockets,
//	cgroups                     the key is the pid, the socket's cookie, the cgroup's id
//	queue, stack                no key; in JSON the value that is popped first comes
//	                            first, and an expectation gives the place as key
//	bloom filter                no key, and it cannot be dumped
//	user ring buffer            no key; each value is a sample, bytes of any number
//	stack trace                 a list of addresses; only programs store them
//
// # Expectations
//
//	expect map NAME[KEY] == VALUE    also != < <= > >=, and =~ "REGEXP"; a number is
//	                                 compared with the sum over all CPUs of a per-CPU map
//	expect map NAME[KEY].MEMBER == V a part of the value, by BTF: .bss[0].state.calls
//	expect map NAME missing KEY
//	expect map NAME entries == N
//	expect trace =~ "REGEXP"         some line matches; !~: none does
//	expect trace == N lines          expect trace none
//	expect ringbuf NAME == N records expect perf NAME == N records
//	expect events == N
//	expect r0 [PROGRAM] == VALUE     of the event above: a number or a name, XDP_DROP
//	expect insns [PROGRAM] <= N
//	expect trap [PROGRAM] none       or =~ "REGEXP"
//	expect packet [PROGRAM] unchanged, or == "WORDS"
//
// # Packets in words
//
//	eth(src=02:00:00:00:00:01)/vlan(id=5)/ipv4(dst=10.0.0.2,ttl=64)/tcp(dport=80,syn)/"payload"
//
// See [PacketWords]. [DecodePacket] goes the other way, and [DiffPackets] says what a
// program did to a packet in the names of its fields.
package scenario
