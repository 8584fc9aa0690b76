/* The few system registers that start-up and clock use (Armv6-M, Armv7-M and Armv8-M Architecture Reference
 * Manuals, System Control Space). */
#ifndef MM_CORTEX_M_H
#define MM_CORTEX_M_H

#include <stdint.h>

#define MM_REGISTER(address) (*(volatile uint32_t*)(uintptr_t)(address))

#define MM_SYST_CSR MM_REGISTER(0xE000E010u) /* SysTick control and status */
#define MM_SYST_RVR MM_REGISTER(0xE000E014u) /* reload value */
#define MM_SYST_CVR MM_REGISTER(0xE000E018u) /* current value */
#define MM_SYST_CSR_ENABLE 0x1u
#define MM_SYST_CSR_TICKINT 0x2u
#define MM_SYST_CSR_CLKSOURCE 0x4u

#define MM_ICSR MM_REGISTER(0xE000ED04u)
#define MM_ICSR_PENDSTSET (1u << 26)
#define MM_ICSR_VECTACTIVE 0x1FFu
#define MM_VTOR MM_REGISTER(0xE000ED08u)
#define MM_CCR MM_REGISTER(0xE000ED14u)
#define MM_CCR_LOB (1u << 19) /* low-overhead branches, Armv8.1-M */
#define MM_CFSR MM_REGISTER(0xE000ED28u)
#define MM_HFSR MM_REGISTER(0xE000ED2Cu)
#define MM_MMFAR MM_REGISTER(0xE000ED34u)
#define MM_BFAR MM_REGISTER(0xE000ED38u)
#define MM_MPU_TYPE MM_REGISTER(0xE000ED90u)
#define MM_MPU_TYPE_REGIONS 0xFF00u
#define MM_MPU_CTRL MM_REGISTER(0xE000ED94u)
#define MM_MPU_CTRL_ENABLE 0x1u
#define MM_MPU_CTRL_DEFAULT_MAP 0x4u /* what no region covers stays as without an MPU */
#define MM_MPU_RNR MM_REGISTER(0xE000ED98u)
#define MM_MPU_RBAR MM_REGISTER(0xE000ED9Cu)
#define MM_MPU_RASR MM_REGISTER(0xE000EDA0u) /* Armv7-M; access permission 0: none */
#define MM_CPACR MM_REGISTER(0xE000ED88u)
#define MM_CPACR_FPU (0xFu << 20) /* coprocessors 10 and 11: FPU and MVE */

#endif
