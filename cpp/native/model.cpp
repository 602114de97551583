#include "native/model.h"

#include <algorithm>
#include <cmath>
#include <string>

#include "core/error.h"
#include "native/radial_network.h"
#include "native/weight_reader.h"

namespace frames::native {

namespace {

// Errors of the radial tables, relative to the largest value and slope: about what the arithmetic rounds
// anyway for float, and far below what distinguishes two models for double.
template <class T>
constexpr double radial_tolerance = sizeof(T) == 4 ? 4e-6 : 1e-9;

/// Place of an invariant (part, channel) in the layout [channels / 16][3][16].
int invariant_place(int part, int channel) {
  return channel / block * 3 * block + part * block + channel % block;
}

/// For each place in that layout, the index part * channels + channel that the PyTorch module uses.
std::vector<int> invariant_order(int channels) {
  std::vector<int> order(static_cast<std::size_t>(3) * channels);
  for (int part = 0; part < 3; ++part) {
    for (int c = 0; c < channels; ++c) order[invariant_place(part, c)] = part * channels + c;
  }
  return order;
}

RadialTable tabulated(const RadialNetwork& network, const Metadata& metadata, double tolerance) {
  const auto evaluate = [&](double r, std::vector<Jet>& values) { network.evaluate(r, values); };
  try {
    return tabulate(evaluate, network.outputs(), metadata.cutoff, tolerance);
  } catch (const Error& error) {
    throw Error(metadata.file + ": " + error.what());
  }
}

}  // namespace

template <class T>
T* Model<T>::allocate(std::size_t size) {
  arrays_.emplace_back();
  arrays_.back().reserve(size);
  return arrays_.back().data();
}

template <class T>
std::size_t Model<T>::bytes() const {
  std::size_t sum = 0;
  for (const auto& array : arrays_) sum += array.capacity() * sizeof(T);
  return sum;
}

/// `get(input, output)` is an element of the matrix.
template <class T>
template <class Get>
Matrix<T> Model<T>::pack(int inputs, int outputs, const Get& get, const double* bias) {
  T* const data = allocate(static_cast<std::size_t>(inputs) * outputs);
  for (int n = 0; n < outputs; ++n) {
    for (int k = 0; k < inputs; ++k) {
      data[(static_cast<std::size_t>(n / block) * inputs + k) * block + n % block] =
          static_cast<T>(get(k, n));
    }
  }
  Matrix<T> matrix{data, nullptr, inputs, outputs};
  if (bias) {
    T* const packed = allocate(outputs);
    for (int n = 0; n < outputs; ++n) packed[n] = static_cast<T>(bias[n]);
    matrix.bias = packed;
  }
  return matrix;
}

/// Matrices [3][rows][outputs] whose rows come in groups of `inputs`, each group padded to `row_width` rows;
/// all of it padded to a multiple of the block.
template <class T>
Both<PartMatrices<T>> Model<T>::pack_parts(const std::vector<double>& weights, int rows, int inputs,
                                           int outputs, int row_width, double factor) {
  const int padded = round_up(rows / inputs * row_width, block);
  Both<PartMatrices<T>> both;
  for (int part = 0; part < 3; ++part) {
    const double* const w = weights.data() + static_cast<std::size_t>(part) * rows * outputs;
    const auto get = [&](int k, int n) {
      const int group = k / row_width, inside = k % row_width;
      if (inside >= inputs || group >= rows / inputs) return 0.0;
      return factor * w[static_cast<std::size_t>(group * inputs + inside) * outputs + n];
    };
    both.forward.part[part] = pack(padded, outputs, get);
    both.backward.part[part] = pack(outputs, padded, [&](int k, int n) { return get(n, k); });
  }
  return both;
}

template <class T>
GateParameters<T> Model<T>::pack_gate(const WeightReader& read, const std::string& name) {
  const int c = parameters_.channels;
  const auto order = invariant_order(c);
  const auto first = read(name + ".first.weight", {c, 3 * c}), first_bias = read(name + ".first.bias", {c});
  const auto second = read(name + ".second.weight", {3 * c, c}),
             second_bias = read(name + ".second.bias", {3 * c});
  std::vector<double> bias(static_cast<std::size_t>(3) * c);
  for (int n = 0; n < 3 * c; ++n)
    bias[n] = 1.0 + second_bias[order[n]];  // the factors are one plus the network
  const auto w1 = [&](int k, int n) { return first[static_cast<std::size_t>(n) * 3 * c + order[k]]; };
  const auto w2 = [&](int k, int n) { return second[static_cast<std::size_t>(order[n]) * c + k]; };
  GateParameters<T> gate;
  gate.first.forward = pack(3 * c, c, w1, first_bias.data());
  gate.first.backward = pack(c, 3 * c, [&](int k, int n) { return w1(n, k); });
  gate.second.forward = pack(c, 3 * c, w2, bias.data());
  gate.second.backward = pack(3 * c, c, [&](int k, int n) { return w2(n, k); });
  return gate;
}

template <class T>
void Model<T>::pack_embedding(const WeightReader& read, int functions) {
  Parameters<T>& p = parameters_;
  const int c = p.channels;
  const double norm = read("neighbour_norm", {1})[0];
  p.embedding.mix = pack_parts(read("embedding.mix", {3, p.species * functions, c}), p.species * functions,
                               functions, c, p.radial_width, norm);
  const auto scale = read("embedding.centre_scale", {p.species, 3, c});
  const auto bias = read("embedding.centre_bias", {p.species, c});
  T* const packed_scale = allocate(scale.size());
  T* const packed_bias = allocate(bias.size());
  for (int s = 0; s < p.species; ++s) {
    for (int n = 0; n < c; ++n) {
      for (int part = 0; part < 3; ++part) {
        packed_scale[s * 3 * c + invariant_place(part, n)] = static_cast<T>(scale[(s * 3 + part) * c + n]);
      }
      packed_bias[s * c + n] = static_cast<T>(bias[s * c + n]);
    }
  }
  p.embedding.scale = packed_scale;
  p.embedding.bias = packed_bias;
  p.embedding.gate = pack_gate(read, "embedding.gate");
}

/// One table for the radial functions of the whole model, split into what each step reads.
template <class T>
void Model<T>::pack_radial(const WeightReader& read, int functions, int hidden, const Metadata& metadata) {
  Parameters<T>& p = parameters_;
  const int c = p.channels;
  const double norm = read("neighbour_norm", {1})[0];
  std::vector<RadialNetwork::Layer> layers;
  for (int l = 0; l < p.layers; ++l) {
    const std::string name = "interactions." + std::to_string(l) + ".radial.";
    auto output = read(name + "output", {hidden, 3 * c});
    for (double& w : output) w *= norm;
    layers.push_back({hidden, 3 * c, read(name + "hidden", {functions, hidden}),
                      read(name + "hidden_bias", {hidden}), std::move(output)});
  }
  const RadialNetwork network(metadata.cutoff, functions, std::move(layers));
  const RadialTable table = tabulated(network, metadata, radial_tolerance<T>);
  value_error_ = table.value_error;
  slope_error_ = table.slope_error;
  p.intervals = table.grid.intervals;
  p.radial_half = table.grid.half;
  p.radial_scale = table.grid.scale;
  const auto coefficient = [&](int interval, int function, int power) {
    return static_cast<T>(
        table.coefficients[(static_cast<std::size_t>(interval) * table.functions + function) * 6 + power]);
  };
  T* const basis = allocate(static_cast<std::size_t>(p.intervals) * 6 * p.radial_width);
  for (int k = 0; k < p.intervals; ++k) {
    for (int power = 0; power < 6; ++power) {
      for (int f = 0; f < functions; ++f)
        basis[(k * 6 + power) * p.radial_width + f] = coefficient(k, f, power);
    }
  }
  p.embedding.radial = basis;
  for (int l = 0; l < p.layers; ++l) {
    T* const packed = allocate(static_cast<std::size_t>(p.intervals) * 18 * c);
    for (int k = 0; k < p.intervals; ++k) {
      for (int part = 0; part < 3; ++part) {
        for (int power = 0; power < 6; ++power) {
          for (int n = 0; n < c; ++n) {
            const std::size_t row = static_cast<std::size_t>(n / block) * p.intervals + k;
            packed[(row * 18 + part * 6 + power) * block + n % block] =
                coefficient(k, functions + (l * 3 + part) * c + n, power);
          }
        }
      }
    }
    interactions_[l].radial = packed;
  }
}

template <class T>
Model<T>::Model(const Metadata& metadata, const Safetensors& weights) {
  const WeightReader read(metadata, weights);
  const Sizes& sizes = read.sizes();
  Parameters<T>& p = parameters_;
  const int c = sizes.channels;
  p.species = sizes.species;
  p.channels = c;
  p.layers = sizes.layers;
  p.radial_width = round_up(sizes.radial_functions, 8);
  p.sums_width = round_up(p.species * p.radial_width, block);
  energy_reference_ = metadata.energy_reference;
  p.energy_reference = energy_reference_.data();
  p.energy_scale = metadata.energy_scale;

  interactions_.resize(p.layers);
  p.interactions = interactions_.data();
  pack_embedding(read, sizes.radial_functions);
  for (int l = 0; l < p.layers; ++l) {
    const std::string name = "interactions." + std::to_string(l) + ".";
    interactions_[l].before = pack_parts(read(name + "before", {3, c, c}), c, c, c, c, 1.0);
    interactions_[l].after = pack_parts(read(name + "after", {3, c, c}), c, c, c, c, 1.0);
    interactions_[l].gate = pack_gate(read, name + "gate");
  }
  pack_radial(read, sizes.radial_functions, sizes.radial_hidden, metadata);

  const auto order = invariant_order(c);
  const auto hidden = read("hidden.weight", {c, 3 * c}), hidden_bias = read("hidden.bias", {c});
  const auto w = [&](int k, int n) { return hidden[static_cast<std::size_t>(n) * 3 * c + order[k]]; };
  p.readout.hidden.forward = pack(3 * c, c, w, hidden_bias.data());
  p.readout.hidden.backward = pack(c, 3 * c, [&](int k, int n) { return w(n, k); });
  const auto energy = read("energy.weight", {1, c});
  T* const packed = allocate(energy.size());
  std::transform(energy.begin(), energy.end(), packed, [](double x) { return static_cast<T>(x); });
  p.readout.energy = packed;
  p.readout.energy_bias = read("energy.bias", {1})[0];
}

template class Model<float>;
template class Model<double>;

}  // namespace frames::native
