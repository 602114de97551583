#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

#include "core/graph.h"
#include "native/kernels.h"

namespace frames::native {

/// First moments of the gradients, which the heat flux of a model with several layers needs.
///
/// The flux Σ_ik (r_i - r_k) ∂U_i/∂r_k · v_k asks which atom's energy changes, not only how the sum does
/// (Langer et al., Phys. Rev. B 108, L100302 (2023)). Beside the gradient A_k = Σ_i ∂U_i/∂x_k of a node's
/// features the way back carries A^α_k = Σ_i (r_i - r_k)^α ∂U_i/∂x_k for α = x, y, z. With r_i - r_k = (r_i -
/// r_j) + (r_j - r_k) they obey a recursion over edges alone, whatever the periodic images are called:
///
///     A^α_k = Σ_j [A^α_j + (r_j - r_k)^α A_j] ∂x_j/∂x_k
///
/// Each starts at zero, since U_i depends on the last features of i alone. Everything but the term with A_j
/// is the same linear map as for A, so that it goes through the same kernels, on arrays of its own.
template <class T>
struct Moments {
  Arrays<T> along[3];     ///< x, y, z; what the way back overwrites is their own
  T* previous = nullptr;  ///< features [computed]: X of the layer that is passed through
  std::vector<LayerArrays<T>> layers[3];

  /// Lays out the arrays of nodes.
  template <class Carver>
  void carve(Carver& carver, const Parameters<T>& p, std::size_t computed, std::size_t nodes) {
    const std::size_t width = static_cast<std::size_t>(components) * p.channels;
    previous = carver.take(width * computed);
    for (int k = 0; k < 3; ++k) {
      layers[k].resize(p.layers);
      along[k].gradient = carver.take(width * computed);
      for (int l = 0; l < p.layers; ++l) {
        layers[k][l].update = carver.take(width * computed);
        if (l + 1 < p.layers) layers[k][l].messages = carver.take(width * nodes);
      }
    }
  }

  /// Before an evaluation: everything else is that of `base`, apart from the edges' own arrays.
  /// @param edge_memory [12 edges]
  void share(const Arrays<T>& base, int count, double* edge_memory, std::size_t edges) {
    for (int k = 0; k < 3; ++k) {
      T* const gradient = along[k].gradient;
      along[k] = base;
      along[k].gradient = gradient;
      along[k].layers = layers[k].data();
      for (int l = 0; l < count; ++l) {
        layers[k][l].mixed = base.layers[l].mixed;
        layers[k][l].slopes = base.layers[l].slopes;
        layers[k][l].factors = base.layers[l].factors;
      }
      along[k].slopes = edge_memory + k * edges;
      along[k].edge_gradients = edge_memory + (3 + 3 * k) * edges;
    }
  }
};

/// Output::flux_virials from what an evaluation left behind.
///
/// With the gradient g of an edge vector d = r_j - r_i, and its moments a = Σ_k (r_k - r_i) ⊗ g_k over the
/// atoms k whose energies it belongs to, W_j += a - d ⊗ g and W_i -= a. The embedding's gradients are given
/// so; those of the interactions are the mirrored edge's (Engine::evaluate), which trades the ends.
template <class T>
void flux_virials(const Graph& graph, const Arrays<T>& base, const Moments<T>& moments, double energy_scale,
                  std::vector<double>& virials) {
  virials.assign(9 * static_cast<std::size_t>(graph.atoms), 0.0);
  for (int i = 0; i < graph.centres; ++i) {
    double* const near = virials.data() + 9 * static_cast<std::size_t>(i);
    for (std::int64_t e = graph.offsets[i]; e < graph.offsets[i + 1]; ++e) {
      double* const far = virials.data() + 9 * static_cast<std::size_t>(graph.neighbours[e]);
      const double* const d = base.vectors + 3 * e;
      const double* const g = base.edge_gradients + 3 * e;
      const double inverse = 1.0 / std::sqrt(d[0] * d[0] + d[1] * d[1] + d[2] * d[2]);
      const double slope = energy_scale * base.slopes[e] * base.stretches[e] * inverse;
      for (int row = 0; row < 3; ++row) {
        for (int column = 0; column < 3; ++column) {
          const double a = moments.along[row].edge_gradients[3 * e + column];
          const double mirrored = slope * d[column];
          near[3 * row + column] -= a + d[row] * mirrored;
          far[3 * row + column] += a - d[row] * (g[column] - mirrored);
        }
      }
    }
  }
}

}  // namespace frames::native
