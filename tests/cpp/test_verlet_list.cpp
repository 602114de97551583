#include <algorithm>
#include <array>
#include <cmath>
#include <random>
#include <vector>

#include "check.h"
#include "core/structure.h"
#include "openmm/base64.h"
#include "openmm/verlet_list.h"

namespace {

using frames::Graph;
using frames::VerletList;

constexpr double cutoff = 3.0;
using Edge = std::array<double, 5>;  // centre, neighbour, vector

std::vector<Edge> sorted_edges(const Graph& graph) {
  std::vector<Edge> edges;
  for (std::size_t i = 0; i < static_cast<std::size_t>(graph.centres); ++i) {
    for (auto e = static_cast<std::size_t>(graph.offsets[i]);
         e < static_cast<std::size_t>(graph.offsets[i + 1]); ++e) {
      edges.push_back({static_cast<double>(i), static_cast<double>(graph.neighbours[e]), graph.vectors[3 * e],
                       graph.vectors[3 * e + 1], graph.vectors[3 * e + 2]});
    }
  }
  // vectors of two builds differ by rounding, which must not change the order
  std::sort(edges.begin(), edges.end(), [](const Edge& a, const Edge& b) {
    for (std::size_t k = 0; k < a.size(); ++k) {
      if (std::abs(a[k] - b[k]) > 1e-9) return a[k] < b[k];
    }
    return false;
  });
  return edges;
}

/// Walks atoms at random and compares the list with one that is built from nothing in every step.
void follow(std::array<double, 9> cell, bool periodic, double skin, bool change_box) {
  std::mt19937 random(7);
  std::uniform_real_distribution<double> place(-12.0, 12.0), move(-0.12, 0.12);
  std::vector<double> positions(3 * 25);
  for (double& x : positions) x = place(random);
  std::vector<std::int32_t> species;
  for (int i = 0; i < 25; ++i) species.push_back(i % 3);
  VerletList list(cutoff, skin, periodic, species);
  constexpr int steps = 40;
  for (int step = 0; step < steps; ++step) {
    for (double& x : positions) x += move(random);
    if (change_box && step % 5 == 0) {
      for (double& x : cell) x *= 1.01;
    }
    list.update(positions, cell);
    VerletList fresh(cutoff, skin, periodic, species);
    fresh.update(positions, cell);
    CHECK(list.graph().vectors == fresh.graph().vectors);  // to the last bit
    CHECK(list.graph().neighbours == fresh.graph().neighbours);
    CHECK(list.graph().offsets == fresh.graph().offsets);
    Graph wanted;
    frames::build_graph(species, positions, cell, {periodic, periodic, periodic}, cutoff, wanted);
    const std::vector<Edge> a = sorted_edges(list.graph()), b = sorted_edges(wanted);
    CHECK(a.size() == b.size());
    for (std::size_t e = 0; e < a.size(); ++e) {
      for (std::size_t k = 0; k < 5; ++k) CHECK_NEAR(a[e][k], b[e][k], 1e-9);
    }
  }
  CHECK(list.builds() >= 2);
  if (skin == 0.0) CHECK(list.builds() == steps);
  if (skin > 1.0) CHECK(list.builds() < steps / 2);
}

}  // namespace

TEST(verlet_list_in_open_space) {
  follow({}, false, 0.0, false);
  follow({}, false, 1.5, false);
}

TEST(verlet_list_in_boxes_of_any_shape_and_size) {
  for (const double skin : {0.0, 1.5}) {
    follow({8, 0, 0, 2, 7, 0, -1, 1.5, 9}, true, skin, false);
    follow({2.1, 0, 0, 0.9, 1.7, 0, -0.4, 0.6, 2.3}, true, skin, false);  // narrower than the cutoff
  }
}

TEST(verlet_list_when_the_box_changes) {
  follow({8, 0, 0, 2, 7, 0, -1, 1.5, 9}, true, 1.5, true);
}

TEST(verlet_list_refuses_what_is_not_finite) {
  VerletList list(cutoff, 1.0, false, {0, 0});
  list.update({0, 0, 0, 1, 0, 0}, {});
  CHECK(list.graph().edges() == 2);
  const std::string message =
      check::error_of(__FILE__, __LINE__, [&] { list.update({0, 0, 0, 1, std::nan(""), 0}, {}); });
  CHECK(message.find("not finite") != std::string::npos);
  list.update({0, 0, 0, 0, 2, 0}, {});
  CHECK(list.graph().edges() == 2 && list.graph().vectors[1] == 2.0);
}

TEST(base64_goes_there_and_back) {
  std::mt19937 random(3);
  CHECK(frames::to_base64({'f', 'o', 'o', 'b', 'a', 'r'}) == "Zm9vYmFy");  // RFC 4648, section 10
  CHECK(frames::to_base64({'f', 'o', 'o', 'b'}) == "Zm9vYg==");
  for (std::size_t size = 0; size < 70; ++size) {
    std::vector<std::uint8_t> bytes(size);
    for (std::uint8_t& byte : bytes) byte = static_cast<std::uint8_t>(random());
    CHECK(frames::from_base64(frames::to_base64(bytes)) == bytes);
  }
}

TEST(base64_refuses_other_text) {
  for (const std::string text : {"Zm9", "Zm9v=mFy", "Z===", "====", "Zm9\xc3", "Zm 9"})
    check::error_of(__FILE__, __LINE__, [&] { frames::from_base64(text); });
}
