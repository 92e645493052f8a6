// One function: its record, and code that jumps to the address in the record. r11 holds no argument.
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
	endbr64
	movq .Llazy_\name(%rip), %r11
	testq %r11, %r11
	je 1f
	jmp *%r11
1:
	leaq .Llazy_\name(%rip), %r11
	jmp .Llazy_first
	.size \name, . - \name
.popsection
.endm

// The first call: looks up the address with all argument registers saved, and jumps to it.
.pushsection .text.lazy_first,"ax",@progbits
	.balign 16
.Llazy_first:
	.cfi_startproc
	pushq %rbp
	.cfi_adjust_cfa_offset 8
	.cfi_rel_offset %rbp, 0
	movq %rsp, %rbp
	.cfi_def_cfa_register %rbp
	subq $192, %rsp
	andq $-16, %rsp
	movq %rdi, 0(%rsp)
	movq %rsi, 8(%rsp)
	movq %rdx, 16(%rsp)
	movq %rcx, 24(%rsp)
	movq %r8, 32(%rsp)
	movq %r9, 40(%rsp)
	movq %rax, 48(%rsp)
	movaps %xmm0, 64(%rsp)
	movaps %xmm1, 80(%rsp)
	movaps %xmm2, 96(%rsp)
	movaps %xmm3, 112(%rsp)
	movaps %xmm4, 128(%rsp)
	movaps %xmm5, 144(%rsp)
	movaps %xmm6, 160(%rsp)
	movaps %xmm7, 176(%rsp)
	movq %r11, %rdi
	call transcribe_lazy_find@PLT
	movq %rax, %r11
	movq 0(%rsp), %rdi
	movq 8(%rsp), %rsi
	movq 16(%rsp), %rdx
	movq 24(%rsp), %rcx
	movq 32(%rsp), %r8
	movq 40(%rsp), %r9
	movq 48(%rsp), %rax
	movaps 64(%rsp), %xmm0
	movaps 80(%rsp), %xmm1
	movaps 96(%rsp), %xmm2
	movaps 112(%rsp), %xmm3
	movaps 128(%rsp), %xmm4
	movaps 144(%rsp), %xmm5
	movaps 160(%rsp), %xmm6
	movaps 176(%rsp), %xmm7
	leave
	.cfi_def_cfa %rsp, 8
	jmp *%r11
	.cfi_endproc
.popsection
