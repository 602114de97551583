#pragma once

#include "core/load.h"

namespace frames {

/// Evaluates TorchScript models through libframes_torchscript, which is looked for beside the library that
/// this code is linked into and opened when the first model is loaded, together with the PyTorch of the same
/// Python environment.
BackendFactory torchscript_factory();

}  // namespace frames
