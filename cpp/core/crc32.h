#pragma once

#include <cstddef>
#include <cstdint>

namespace frames {

/// CRC-32 of zip archives (ISO 3309, reflected polynomial 0xEDB88320).
std::uint32_t crc32(const std::uint8_t* data, std::size_t size);

}  // namespace frames
