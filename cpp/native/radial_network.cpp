#include "native/radial_network.h"

#include <cmath>
#include <utility>

namespace frames::native {

namespace {

constexpr double pi = 3.14159265358979323846;

Jet operator*(const Jet& a, const Jet& b) {
  return {a.value * b.value, a.first * b.value + a.value * b.first,
          a.second * b.value + 2.0 * a.first * b.first + a.value * b.second};
}

void add(Jet& to, double factor, const Jet& jet) {
  to.value += factor * jet.value;
  to.first += factor * jet.first;
  to.second += factor * jet.second;
}

/// (1 - (r/rc)^4)^4, zero outside.
Jet envelope(double r, double cutoff) {
  if (r >= cutoff) return {};
  const double x = r / cutoff, x2 = x * x, u = 1.0 - x2 * x2, u2 = u * u;
  return {u2 * u2, -16.0 * u2 * u * x2 * x / cutoff,
          (192.0 * u2 * x2 * x2 * x2 - 48.0 * u2 * u * x2) / (cutoff * cutoff)};
}

/// u = (1 + k) r / (r + k cutoff), from 0 to 1 at the cutoff; k is `stretch` in python/frames/nn/radial.py
Jet stretched(double r, double cutoff) {
  const double k = 0.2, below = r + k * cutoff;
  const double first = k * (1.0 + k) * cutoff / (below * below);
  return {(1.0 + k) * r / below, first, -2.0 * first / below};
}

/// sqrt(2) cos(n pi u)
Jet cosine(int n, const Jet& u) {
  const double w = n * pi, root2 = std::sqrt(2.0);
  const double c = root2 * std::cos(w * u.value), s = root2 * w * std::sin(w * u.value);
  return {c, -s * u.first, -w * w * c * u.first * u.first - s * u.second};
}

Jet silu(const Jet& x) {
  const double s = 1.0 / (1.0 + std::exp(-x.value)), slope = s * (1.0 - s);
  const double first = s + x.value * slope;
  const double second = slope * (2.0 + x.value * (1.0 - 2.0 * s));
  return {x.value * s, first * x.first, second * x.first * x.first + first * x.second};
}

}  // namespace

RadialNetwork::RadialNetwork(double cutoff, int functions, std::vector<Layer> layers)
    : cutoff_(cutoff), functions_(functions), outputs_(functions), layers_(std::move(layers)) {
  for (const Layer& layer : layers_) outputs_ += layer.outputs;
}

void RadialNetwork::evaluate(double distance, std::vector<Jet>& values) const {
  const Jet cut = envelope(distance, cutoff_);
  const Jet u = stretched(distance, cutoff_);
  for (int n = 0; n < functions_; ++n) values[n] = cosine(n, u) * cut;
  int first = functions_;
  for (const Layer& layer : layers_) {
    for (int p = 0; p < layer.outputs; ++p) values[first + p] = {};
    for (int h = 0; h < layer.hidden; ++h) {
      Jet sum{layer.bias[h], 0.0, 0.0};
      for (int n = 0; n < functions_; ++n) add(sum, layer.weights[n * layer.hidden + h], values[n]);
      const Jet hidden = silu(sum) * cut;
      for (int p = 0; p < layer.outputs; ++p) {
        add(values[first + p], layer.output_weights[static_cast<std::size_t>(h) * layer.outputs + p], hidden);
      }
    }
    first += layer.outputs;
  }
}

}  // namespace frames::native
