/* QEMU's riscv32 `virt` board, as in firmware/bench/src/board.rs: results, instructions, stack. */
#ifndef BOARD_H
#define BOARD_H

#include <stdint.h>

/* Prints `name=value`. */
void report(const char *name, uint32_t value);

/* The low half of the counter of retired instructions. */
uint32_t instructions(void);

/* How many bytes of stack `work` reaches below its caller, at most. */
uint32_t stack_used_by(void (*work)(void *), void *context);

/* Turns the machine off; 0 is success. */
void power_off(uint16_t code) __attribute__((noreturn));

/* Says which line failed, and turns the machine off. */
void require_line(int truth, int line);

#define REQUIRE(truth) require_line((truth) != 0, __LINE__)

#endif
