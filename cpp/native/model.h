#pragma once

#include <deque>
#include <memory>
#include <vector>

#include "core/metadata.h"
#include "core/safetensors.h"
#include "native/aligned.h"
#include "native/parameters.h"
#include "native/radial_table.h"

namespace frames::native {

/// The parameters of a model of backbone `cartesian`, packed for the kernels in the arithmetic T. Never
/// changes after construction, so threads may share it.
template <class T>
class Model {
 public:
  /// Throws Error if a weight is missing, has another shape than the others imply, or is not finite.
  Model(const Metadata& metadata, const Safetensors& weights);
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const Parameters<T>& parameters() const { return parameters_; }

  /// Largest error of the radial tables, relative to the largest value (slope) of the function.
  double radial_value_error() const { return value_error_; }
  double radial_slope_error() const { return slope_error_; }

  std::size_t bytes() const;

 private:
  T* allocate(std::size_t size);

  template <class Get>
  Matrix<T> pack(int inputs, int outputs, const Get& get, const double* bias = nullptr);
  Both<PartMatrices<T>> pack_parts(const std::vector<double>& weights, int rows, int inputs, int outputs,
                                   int row_width, double factor);
  GateParameters<T> pack_gate(const class WeightReader& read, const std::string& name);
  void pack_embedding(const WeightReader& read, int functions);
  void pack_radial(const WeightReader& read, int functions, int hidden, const Metadata& metadata);

  Parameters<T> parameters_;
  std::deque<Aligned<T>> arrays_;
  std::vector<InteractionParameters<T>> interactions_;
  std::vector<double> energy_reference_;
  double value_error_ = 0.0, slope_error_ = 0.0;
};

}  // namespace frames::native
