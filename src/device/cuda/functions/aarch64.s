// One function: its record, and code that jumps to the address in the record. x16 and x17 hold no argument.
.macro function name, library
.pushsection .rodata.lazy.\name,"a",@progbits
.Llazy_name_\name:
	.asciz "\name"
.popsection
.pushsection .data.rel.lazy.\name,"aw",@progbits
	.balign 8
.Llazy_\name:
	.quad 0
	.quad .Llazy_name_\name
	.quad \library
.popsection
.pushsection .text.lazy.\name,"ax",@progbits
	.weak \name
	.hidden \name
	.type \name,@function
	.balign 16
\name:
	hint #34
	adrp x16, .Llazy_\name
	add x16, x16, :lo12:.Llazy_\name
	ldr x17, [x16]
	cbz x17, 1f
	br x17
1:
	b .Llazy_first
	.size \name, . - \name
.popsection
.endm

// The first call: looks up the address with all argument registers saved, and jumps to it.
.pushsection .text.lazy_first,"ax",@progbits
	.balign 16
.Llazy_first:
	.cfi_startproc
	stp x29, x30, [sp, #-224]!
	.cfi_def_cfa_offset 224
	.cfi_offset x29, -224
	.cfi_offset x30, -216
	mov x29, sp
	stp x0, x1, [sp, #16]
	stp x2, x3, [sp, #32]
	stp x4, x5, [sp, #48]
	stp x6, x7, [sp, #64]
	str x8, [sp, #80]
	stp q0, q1, [sp, #96]
	stp q2, q3, [sp, #128]
	stp q4, q5, [sp, #160]
	stp q6, q7, [sp, #192]
	mov x0, x16
	bl transcribe_lazy_find
	mov x16, x0
	ldp x0, x1, [sp, #16]
	ldp x2, x3, [sp, #32]
	ldp x4, x5, [sp, #48]
	ldp x6, x7, [sp, #64]
	ldr x8, [sp, #80]
	ldp q0, q1, [sp, #96]
	ldp q2, q3, [sp, #128]
	ldp q4, q5, [sp, #160]
	ldp q6, q7, [sp, #192]
	ldp x29, x30, [sp], #224
	.cfi_def_cfa_offset 0
	.cfi_restore x29
	.cfi_restore x30
	br x16
	.cfi_endproc
.popsection
