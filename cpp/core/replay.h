#pragma once

#include "core/backend.h"
#include "core/model_file.h"

namespace frames {

/// Evaluates the stored test frame and compares energies, forces and virial with the stored answer.
///
/// Deviations are measured against the sizes of the terms that are summed (an atom's energy beyond its
/// reference, the edge gradients of an atom, those times their lengths), since that is what rounding is
/// relative to. Throws Error, with the largest deviation, if one exceeds `Backend::tolerance()`.
void replay_test_frame(Backend& backend, const TestFrame& frame);

}  // namespace frames
