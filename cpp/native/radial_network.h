#pragma once

#include <vector>

#include "native/radial_table.h"

namespace frames::native {

/// The radial functions of the model as python/frames/nn/radial.py defines them, with two derivatives, in
/// float64.
class RadialNetwork {
 public:
  /// One interaction: basis to hidden (SiLU) to outputs.
  struct Layer {
    int hidden = 0;
    int outputs = 0;
    std::vector<double> weights;         ///< [functions][hidden]
    std::vector<double> bias;            ///< [hidden]
    std::vector<double> output_weights;  ///< [hidden][outputs]
  };

  /// @param cutoff Å. @param functions of the basis.
  RadialNetwork(double cutoff, int functions, std::vector<Layer> layers);

  int functions() const { return functions_; }  ///< of the basis
  int outputs() const { return outputs_; }      ///< of the basis and of all layers together

  /// The basis functions, then the outputs of each layer, at a distance in Å.
  void evaluate(double distance, std::vector<Jet>& values) const;

 private:
  double cutoff_;
  int functions_;
  int outputs_;
  std::vector<Layer> layers_;
};

}  // namespace frames::native
