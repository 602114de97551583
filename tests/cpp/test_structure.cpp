#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <tuple>

#include "check.h"
#include "core/cell_list.h"
#include "core/structure.h"

namespace {

using Cell = std::array<double, 9>;
using Edge =
    std::tuple<int, int, long, long, long>;  // ends and the vector in 1e-6 Å, so that edges can be sorted

Edge edge(int i, int j, double x, double y, double z) {
  return {i, j, std::lround(1e6 * x), std::lround(1e6 * y), std::lround(1e6 * z)};
}

std::vector<double> random_positions(int atoms, double size, unsigned seed) {
  std::mt19937 random(seed);
  std::uniform_real_distribution<double> uniform(-size, size);
  std::vector<double> positions(3 * static_cast<std::size_t>(atoms));
  for (double& x : positions) x = uniform(random);
  return positions;
}

/// All edges by trying every pair and every shift up to `reach` cells.
std::vector<Edge> brute_force(const std::vector<double>& r, const Cell& h,
                              const std::array<bool, 3>& periodic, double cutoff, int reach) {
  std::vector<Edge> edges;
  const int atoms = static_cast<int>(r.size() / 3);
  const auto range = [&](std::size_t k) { return periodic[k] ? reach : 0; };
  for (int i = 0; i < atoms; ++i) {
    for (int j = 0; j < atoms; ++j) {
      for (int a = -range(0); a <= range(0); ++a) {
        for (int b = -range(1); b <= range(1); ++b) {
          for (int c = -range(2); c <= range(2); ++c) {
            if (i == j && a == 0 && b == 0 && c == 0) continue;
            double v[3];
            for (std::size_t k = 0; k < 3; ++k) {
              v[k] = r[3 * static_cast<std::size_t>(j) + k] + a * h[k] + b * h[3 + k] + c * h[6 + k] -
                     r[3 * static_cast<std::size_t>(i) + k];
            }
            if (std::hypot(v[0], v[1], v[2]) < cutoff) edges.push_back(edge(i, j, v[0], v[1], v[2]));
          }
        }
      }
    }
  }
  std::sort(edges.begin(), edges.end());
  return edges;
}

std::vector<Edge> edges_of(const frames::Graph& graph) {
  std::vector<Edge> edges;
  for (std::int32_t i = 0; i < graph.centres; ++i) {
    const auto node = static_cast<std::size_t>(i);
    for (auto e = static_cast<std::size_t>(graph.offsets[node]);
         e < static_cast<std::size_t>(graph.offsets[node + 1]); ++e) {
      edges.push_back(edge(i, graph.neighbours[e], graph.vectors[3 * e], graph.vectors[3 * e + 1],
                           graph.vectors[3 * e + 2]));
    }
  }
  std::sort(edges.begin(), edges.end());
  return edges;
}

void compare(int atoms, double size, const Cell& cell, const std::array<bool, 3>& periodic, double cutoff,
             int reach) {
  const std::vector<double> positions = random_positions(atoms, size, 5);
  frames::Graph graph;
  frames::build_graph(std::vector<std::int32_t>(static_cast<std::size_t>(atoms), 0), positions, cell,
                      periodic, cutoff, graph);
  const std::vector<Edge> expected = brute_force(positions, cell, periodic, cutoff, reach);
  CHECK(!expected.empty());
  CHECK(edges_of(graph) == expected);
  CHECK(graph.atoms == atoms && graph.locals == atoms && graph.centres == atoms);
}

}  // namespace

TEST(graph_of_a_molecule) {
  compare(60, 4.0, {}, {false, false, false}, 3.0, 0);
}

TEST(graph_of_a_periodic_box) {
  compare(40, 9.0, {9, 0, 0, 0, 10, 0, 0, 0, 8}, {true, true, true}, 3.0, 4);
}

TEST(graph_of_a_tilted_box) {
  compare(30, 8.0, {6, 1, 0, -3, 7, 2, 2, -3, 8}, {true, true, true}, 3.5, 5);
}

TEST(graph_of_a_box_smaller_than_the_cutoff) {
  compare(3, 2.0, {2.0, 0.3, 0, 0.5, 2.5, 0, -0.4, 0.2, 1.8}, {true, true, true}, 5.0, 7);
}

TEST(graph_with_open_directions) {
  compare(30, 6.0, {5, 0, 0, 0, 0, 0, 0, 0, 0}, {true, false, false}, 3.0, 4);
  compare(30, 6.0, {5, 0, 1, 1, 6, 0, 0, 0, 0}, {true, true, false}, 3.0, 4);
  compare(30, 6.0, {0, 0, 0, 0, 0, 0, 0, 1, 4}, {false, false, true}, 3.0, 5);
}

TEST(graph_of_few_atoms) {
  frames::Graph graph;
  frames::build_graph({}, {}, {}, {false, false, false}, 3.0, graph);
  CHECK(graph.atoms == 0 && graph.edges() == 0 && graph.offsets.size() == 1);
  frames::build_graph({0}, {1, 2, 3}, {}, {false, false, false}, 3.0, graph);
  CHECK(graph.atoms == 1 && graph.edges() == 0);
}

TEST(graph_refuses_what_cannot_be) {
  frames::Graph graph;
  const std::array<bool, 3> all = {true, true, true}, none = {false, false, false};
  CHECK_ERROR(frames::build_graph({0}, {0, 0, NAN}, {}, none, 3.0, graph), "not finite");
  CHECK_ERROR(frames::build_graph({0}, {0, 0, 1e9}, {}, none, 3.0, graph), "farther than");
  CHECK_ERROR(frames::build_graph({0}, {0, 0}, {}, none, 3.0, graph), "three numbers per atom");
  CHECK_ERROR(frames::build_graph({0}, {0, 0, 0}, {}, all, 3.0, graph), "linearly dependent");
  CHECK_ERROR(frames::build_graph({0}, {0, 0, 0}, {1, 0, 0, 0, 1, 0, 1, 1, 0}, all, 3.0, graph),
              "linearly dependent");
  CHECK_ERROR(frames::build_graph({0}, {0, 0, 0}, {NAN, 0, 0, 0, 1, 0, 0, 0, 1}, all, 3.0, graph),
              "linearly dependent");
  CHECK_ERROR(frames::build_graph({0}, {0, 0, 0}, {1e-3, 0, 0, 0, 1e-3, 0, 0, 0, 1e-3}, all, 3.0, graph),
              "too small");
}

TEST(graph_of_too_many_atoms) {
  frames::Graph graph;
  const auto build = [&](std::size_t atoms, const Cell& cell, bool periodic) {
    const std::vector<double> positions(3 * atoms, 0.0);
    frames::build_graph(std::vector<std::int32_t>(atoms, 0), positions, cell, {periodic, periodic, periodic},
                        3.0, graph);
  };
  CHECK_ERROR(build(2'000'001, {}, false), "2000001 atoms are too many: expected at most 2e6");
  const Cell wide = {300, 0, 0, 0, 300, 0, 0, 0, 300};
  CHECK_ERROR(build(1'990'000, wide, true), "1990000 atoms are too many: expected at most 2e6");
}

TEST(cell_list_of_points_far_apart) {
  std::vector<double> points = random_positions(200, 3.0, 9);
  points.insert(points.end(), {1e5, 0, 0, 1e5 + 1, 0, 0});
  frames::CellList cells;
  for (int repeat = 0; repeat < 2; ++repeat) {  // storage is kept
    cells.build(points.data(), 202, 1.5);
    for (std::size_t i = 0; i < 202; ++i) {
      std::vector<int> found, expected;
      cells.for_each_within(points.data() + 3 * i, [&](std::int32_t j) { found.push_back(j); });
      for (std::size_t j = 0; j < 202; ++j) {
        const double distance =
            std::hypot(points[3 * j] - points[3 * i], points[3 * j + 1] - points[3 * i + 1],
                       points[3 * j + 2] - points[3 * i + 2]);
        if (distance < 1.5) expected.push_back(static_cast<int>(j));
      }
      std::sort(found.begin(), found.end());
      CHECK(found == expected);
    }
  }
}

// E = Σ_edges k |v|² / 2 has dE/dv = k v, F_i = 2 k Σ_j v_ij (both directions are edges), W = -Σ k v⊗v.
TEST(forces_and_virial_of_springs) {
  const std::vector<double> positions = random_positions(20, 4.0, 3);
  frames::Graph graph;
  frames::build_graph(std::vector<std::int32_t>(20, 0), positions, {6, 1, 0, 0, 7, 0, 1, 0, 5},
                      {true, true, true}, 3.0, graph);
  std::vector<double> gradients(graph.vectors);
  for (double& g : gradients) g *= 0.7;
  std::vector<double> forces(60, 0.0);
  std::array<double, 9> virial{};
  frames::add_forces(graph, gradients, forces.data(), virial.data());
  std::vector<double> expected(60, 0.0);
  std::array<double, 9> tensor{};
  for (const Edge& found : edges_of(graph)) {
    const double v[3] = {1e-6 * static_cast<double>(std::get<2>(found)),
                         1e-6 * static_cast<double>(std::get<3>(found)),
                         1e-6 * static_cast<double>(std::get<4>(found))};
    for (std::size_t a = 0; a < 3; ++a) {
      expected[3 * static_cast<std::size_t>(std::get<0>(found)) + a] += 2 * 0.7 * v[a];
      for (std::size_t b = 0; b < 3; ++b) tensor[3 * a + b] -= 0.7 * v[a] * v[b];
    }
  }
  for (std::size_t k = 0; k < 60; ++k) CHECK_NEAR(forces[k], expected[k], 1e-4);
  for (std::size_t k = 0; k < 9; ++k) CHECK_NEAR(virial[k], tensor[k], 1e-2);
}
