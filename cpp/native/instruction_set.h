#pragma once

#include <string>
#include <vector>

namespace frames::native {

/// The kernels are compiled once for each of these that the compiler can target; one is chosen when a model
/// is loaded, so that a single binary serves every processor.
enum class InstructionSet {
  baseline,  ///< what every processor of the architecture has: SSE2 on x86-64, NEON on AArch64
  avx2,      ///< AVX2 and FMA
  avx512     ///< AVX-512 F, DQ, VL and BW
};

/// "SSE2" (or "NEON", "plain"), "AVX2", "AVX-512".
std::string name(InstructionSet set);

/// Those that were compiled in and that this processor and operating system can run, the best one first.
std::vector<InstructionSet> available_instruction_sets();

/// The set of that name, in any case and with or without the hyphen; "auto" is the best one.
/// Throws Error if it is unknown or not available here.
InstructionSet parse_instruction_set(const std::string& text);

}  // namespace frames::native
