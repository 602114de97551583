#pragma once

#include <stdexcept>

namespace frames {

/// Everything that a user can cause: what was given, what was expected and what to do, in one line.
/// Engines' adaptors translate it once (`error->one` in LAMMPS, `OpenMMException` in OpenMM).
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

}  // namespace frames
