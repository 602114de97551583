#include "native/instruction_set.h"

#include <cctype>

#include "core/error.h"

namespace frames::native {

namespace {

bool runs_here(InstructionSet set) {
  switch (set) {
    case InstructionSet::baseline:
      return true;
#ifdef FRAMES_NATIVE_X86
    // These ask the operating system too, whether it saves the wide registers.
    case InstructionSet::avx2:
      return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    case InstructionSet::avx512:
      return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
             __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512bw");
#endif
    default:
      return false;
  }
}

std::string plain(const std::string& text) {
  std::string letters;
  for (const char c : text) {
    if (c != '-' && c != '_') letters += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  }
  return letters;
}

}  // namespace

std::string name(InstructionSet set) {
  switch (set) {
    case InstructionSet::avx512:
      return "AVX-512";
    case InstructionSet::avx2:
      return "AVX2";
    default:
#if defined(__SSE2__)
      return "SSE2";
#elif defined(__ARM_NEON)
      return "NEON";
#else
      return "plain";
#endif
  }
}

std::vector<InstructionSet> available_instruction_sets() {
  std::vector<InstructionSet> sets;
  for (const auto set : {InstructionSet::avx512, InstructionSet::avx2, InstructionSet::baseline}) {
    if (runs_here(set)) sets.push_back(set);
  }
  return sets;
}

InstructionSet parse_instruction_set(const std::string& text) {
  const auto sets = available_instruction_sets();
  if (text == "auto") return sets.front();
  std::string known = "auto";
  for (const auto set : sets) {
    if (plain(text) == plain(name(set))) return set;
    known += ", " + name(set);
  }
  throw Error("instruction set \"" + text + "\" is not available on this processor; available are " + known);
}

}  // namespace frames::native
