.byte 1
.sektion "xdp"
.section
.section ""
.section a b
.map
.map m key=4
.map m type=hash keysize=4
.map m type=hash key
.map m type=hash key 4
.map m type=hash key=4294967296
.map outer type=hash_of_maps inner=missing
.version 5000000000
.rodata x 256
.half 65536 -32768
.align 3
.zero 99999999
.rodata s "open
.program p
.license
