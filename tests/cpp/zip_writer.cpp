#include "zip_writer.h"

#include "core/crc32.h"

namespace {

void put(std::string& out, std::uint64_t value, int bytes) {
  for (int k = 0; k < bytes; ++k) out.push_back(k < 8 ? static_cast<char>(value >> (8 * k)) : char{0});
}

}  // namespace

std::string write_zip(const std::vector<std::pair<std::string, std::string>>& entries, bool zip64,
                      std::uint16_t method) {
  constexpr std::uint64_t see_zip64 = 0xFFFFFFFF;
  std::string out, directory;
  for (const auto& [name, data] : entries) {
    const std::uint32_t crc = frames::crc32(reinterpret_cast<const std::uint8_t*>(data.data()), data.size());
    const std::uint64_t offset = out.size();
    put(out, 0x04034b50, 4);
    put(out, 0, 4);
    put(out, method, 2);
    put(out, 0, 4);
    put(out, crc, 4);
    put(out, data.size(), 4);
    put(out, data.size(), 4);
    put(out, name.size(), 2);
    put(out, 0, 2);
    out += name + data;

    put(directory, 0x02014b50, 4);
    put(directory, 0, 6);
    put(directory, method, 2);
    put(directory, 0, 4);
    put(directory, crc, 4);
    put(directory, zip64 ? see_zip64 : data.size(), 4);
    put(directory, zip64 ? see_zip64 : data.size(), 4);
    put(directory, name.size(), 2);
    put(directory, zip64 ? 28 : 0, 2);
    put(directory, 0, 10);
    put(directory, zip64 ? see_zip64 : offset, 4);
    directory += name;
    if (zip64) {
      put(directory, 1, 2);
      put(directory, 24, 2);
      for (const std::uint64_t field : {std::uint64_t{data.size()}, std::uint64_t{data.size()}, offset}) {
        put(directory, field, 8);
      }
    }
  }
  const std::uint64_t start = out.size();
  out += directory;
  if (zip64) {
    const std::uint64_t record = out.size();
    put(out, 0x06064b50, 4);
    put(out, 44, 8);
    put(out, 0, 12);
    put(out, entries.size(), 8);
    put(out, entries.size(), 8);
    put(out, directory.size(), 8);
    put(out, start, 8);
    put(out, 0x07064b50, 4);
    put(out, 0, 4);
    put(out, record, 8);
    put(out, 1, 4);
  }
  put(out, 0x06054b50, 4);
  put(out, 0, 4);
  put(out, zip64 ? 0xFFFF : entries.size(), 2);
  put(out, zip64 ? 0xFFFF : entries.size(), 2);
  put(out, zip64 ? see_zip64 : directory.size(), 4);
  put(out, zip64 ? see_zip64 : start, 4);
  put(out, 0, 2);
  return out;
}
