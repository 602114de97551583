#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

/// A zip archive of stored entries, as TorchScript lays it out. `zip64`: sizes and offsets in zip64 fields.
std::string write_zip(const std::vector<std::pair<std::string, std::string>>& entries, bool zip64 = false,
                      std::uint16_t method = 0);
