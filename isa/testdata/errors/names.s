.license "GPL"
.map counts type=hash key=4 value=8 max_entries=1
.rodata greeting "hi"
.section "xdp"
.func main
	r1 = map[count]
	r1 = data[greting]
	call bpf_map_lokup_elem
	call mian
	r1 = func[mian]
	goto end
	call bpf_ktime_get_ns#6
ende:
	exit
ende:
	exit
.func main
	goto ende
r1:	exit
.license "MIT"
.map counts type=hash
.func empty
