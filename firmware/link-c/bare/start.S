# A stack, a trap vector, a cleared .bss, then main, which never returns.
    .section .init, "ax"
    .global start
start:
    la   sp, stack_top
    la   t0, trapped
    csrw mtvec, t0
    la   t0, bss_start
    la   t1, bss_end
1:  bgeu t0, t1, 2f
    sw   zero, 0(t0)
    addi t0, t0, 4
    j    1b
2:  tail main
