// Weights and structures drawn at random, for the test of the native engine.
#pragma once

#include <array>
#include <cmath>
#include <cstdint>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "core/graph.h"
#include "core/metadata.h"
#include "core/safetensors.h"
#include "core/structure.h"

namespace random_model {

using frames::Graph;

constexpr int channels = 32, layers = 2, radial_functions = 8, radial_hidden = 12, species = 3;
constexpr double cutoff = 4.0;

inline frames::Metadata metadata() {
  frames::Metadata m;
  m.file = "random";
  m.backbone = "cartesian";
  m.elements = {1, 6, 8};
  m.cutoff = cutoff;
  m.receptive_layers = layers + 1;
  m.dtype = frames::Metadata::Dtype::float64;
  m.energy_reference = {-1.0, -2.0, -3.0};
  m.energy_scale = 1.5;
  return m;
}

/// A safetensors file in memory with random weights of the right shapes.
class WeightsFile {
 public:
  WeightsFile() : random_(7) {
    const int c = channels;
    add("neighbour_norm", {1}, 0.0, 0.25);
    add("embedding.mix", {3, species * radial_functions, c}, 0.3);
    add("embedding.centre_scale", {species, 3, c}, 0.5, 1.0);
    add("embedding.centre_bias", {species, c}, 1.0);
    add_gate("embedding.gate");
    for (int l = 0; l < layers; ++l) {
      const std::string name = "interactions." + std::to_string(l) + ".";
      add(name + "radial.hidden", {radial_functions, radial_hidden}, 0.35);
      add(name + "radial.hidden_bias", {radial_hidden}, 0.2);
      add(name + "radial.output", {radial_hidden, 3 * c}, 0.3);
      add(name + "before", {3, c, c}, 0.18);
      add(name + "after", {3, c, c}, 0.18);
      add_gate(name + "gate");
    }
    add("hidden.weight", {c, 3 * c}, 0.1);
    add("hidden.bias", {c}, 0.1);
    add("energy.weight", {1, c}, 0.18);
    add("energy.bias", {1}, 0.1);
  }

  frames::Safetensors read() const {
    const std::string header = "{" + header_ + "}";
    std::vector<std::uint8_t> bytes;
    for (int k = 0; k < 8; ++k) bytes.push_back(static_cast<std::uint8_t>(header.size() >> (8 * k)));
    bytes.insert(bytes.end(), header.begin(), header.end());
    const auto* data = reinterpret_cast<const std::uint8_t*>(values_.data());
    bytes.insert(bytes.end(), data, data + values_.size() * sizeof(double));
    return frames::Safetensors(std::move(bytes), "random weights");
  }

  std::vector<double>& values() { return values_; }

 private:
  void add(const std::string& name, const std::vector<int>& shape, double spread, double mean = 0.0) {
    std::size_t size = 1;
    std::string text;
    for (const int n : shape) {
      size *= static_cast<std::size_t>(n);
      text += (text.empty() ? "" : ",") + std::to_string(n);
    }
    const std::size_t begin = values_.size() * sizeof(double);
    for (std::size_t k = 0; k < size; ++k)
      values_.push_back(mean + spread * std::normal_distribution<>()(random_));
    header_ += (header_.empty() ? "" : ",") + ("\"backbone." + name) + "\":{\"dtype\":\"F64\",\"shape\":[" +
               text + "],\"data_offsets\":[" + std::to_string(begin) + "," +
               std::to_string(values_.size() * sizeof(double)) + "]}";
  }

  void add_gate(const std::string& name) {
    add(name + ".first.weight", {channels, 3 * channels}, 0.1);
    add(name + ".first.bias", {channels}, 0.1);
    add(name + ".second.weight", {3 * channels, channels}, 0.1);
    add(name + ".second.bias", {3 * channels}, 0.1);
  }

  std::mt19937 random_;
  std::string header_;
  std::vector<double> values_;
};

struct System {
  std::vector<std::int32_t> species;
  std::vector<double> positions;
  std::array<double, 9> cell{};
  std::array<bool, 3> periodic{};
};

inline System random_system(int atoms, double side, bool periodic, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<> place(0.0, side);
  System system;
  while (static_cast<int>(system.species.size()) < atoms) {
    const std::array<double, 3> r = {place(random), place(random), place(random)};
    bool free = true;
    for (std::size_t k = 0; k < system.positions.size(); k += 3) {
      double d2 = 0.0;
      for (std::size_t a = 0; a < 3; ++a) {
        double d = r[a] - system.positions[k + a];
        if (periodic) d -= side * std::round(d / side);
        d2 += d * d;
      }
      free &= d2 > 0.8 * 0.8;
    }
    if (!free) continue;
    system.species.push_back(static_cast<std::int32_t>(random() % species));
    system.positions.insert(system.positions.end(), r.begin(), r.end());
  }
  if (periodic) {
    system.cell = {side, 0, 0, 0, side, 0, 0, 0, side};
    system.periodic = {true, true, true};
  }
  return system;
}

inline Graph graph_of(const System& system) {
  Graph graph;
  frames::build_graph(system.species, system.positions, system.cell, system.periodic, cutoff, graph);
  return graph;
}

}  // namespace random_model
