#pragma once

#include <memory>
#include <string>

#include "core/load.h"
#include "native/engine.h"

namespace frames::native {

/// A model of backbone `cartesian` evaluated by the native engine, in the arithmetic that the file asks for.
class NativeBackend : public Backend {
 public:
  /// Parts of an evaluation, measured.
  struct Measurement {
    std::vector<Profile> threads;  ///< one per thread
    std::size_t bytes = 0;         ///< memory held for evaluations
    std::size_t model_bytes = 0;
  };

  virtual InstructionSet instruction_set() const = 0;
  virtual int threads() const = 0;
  virtual void measure(bool on) = 0;
  virtual Measurement measurement() const = 0;
  virtual double operations(double atoms, double edges) const = 0;
  /// Largest error of the tabulated radial functions: of values and of slopes, each relative to the largest.
  virtual int radial_intervals() const = 0;
  virtual double radial_value_error() const = 0;
  virtual double radial_slope_error() const = 0;
};

/// Throws Error if the file's model is of another backbone or its weights do not fit.
/// @param instruction_set name as in instruction_set.h, or "auto"
/// @param precision "single", "double", or "" for that of the file
std::unique_ptr<NativeBackend> load_native(ModelFile& file, int threads,
                                           const std::string& instruction_set = "auto",
                                           const std::string& precision = "");

}  // namespace frames::native

namespace frames {

/// For `load_model`: the native engine for models of backbone `cartesian` on the CPU.
BackendFactory native_factory();

}  // namespace frames
