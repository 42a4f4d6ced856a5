	goto end
	r1 = 5 ll
/* the label is too far away for 16 bits, and this
   comment never ends
end:
	exit
