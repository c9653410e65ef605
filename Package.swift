// swift-tools-version: 6.3
// Vizinho: a vector search engine that stands beside Postgres.
//
// A target may import only what is listed above it (docs/ARCHITECTURE.md draws the picture).
// Every outside dependency has its reason in docs/decisions/0002-dependencies.md. No unsafe flags.
import PackageDescription

let package = Package(
  name: "vizinho",
  products: [
    .executable(name: "vizinho", targets: ["vizinho"]),
    .executable(name: "bench", targets: ["Bench"]),
    .library(name: "VectorIndex", targets: ["VectorIndex"]),
    .library(name: "VectorClient", targets: ["VectorClient"]),
  ],
  dependencies: [
    .package(url: "https://github.com/apple/swift-nio.git", from: "2.101.0"),
    .package(url: "https://github.com/apple/swift-argument-parser.git", from: "1.8.0"),
    .package(url: "https://github.com/apple/swift-log.git", from: "1.16.0"),
    .package(url: "https://github.com/apple/swift-configuration.git", from: "1.4.0"),
    .package(url: "https://github.com/apple/swift-system.git", from: "1.8.0"),
    .package(url: "https://github.com/swift-server/swift-service-lifecycle.git", from: "2.13.0"),
    .package(url: "https://github.com/HdrHistogram/hdrhistogram-swift.git", from: "0.2.0"),
  ],
  targets: [
    // C: one instruction set a file, chosen once at run time.
    .target(name: "CVectorKernels"),
    .target(name: "CChecksum"),
    .target(name: "CTimedPoll"),
    .systemLibrary(name: "COpenBLAS", pkgConfig: "openblas", providers: [.apt(["libopenblas-dev"])]),
    .systemLibrary(name: "CLZ4", pkgConfig: "liblz4", providers: [.apt(["liblz4-dev"])]),
    .systemLibrary(name: "CPostgres", pkgConfig: "libpq", providers: [.apt(["libpq-dev"])]),

    // The engine, from the inside out.
    .target(name: "VectorIndex", dependencies: ["CVectorKernels", "COpenBLAS"]),
    .target(name: "VectorSnapshot", dependencies: ["VectorIndex", "CChecksum", "CLZ4"]),
    .target(name: "VectorWire", dependencies: ["VectorIndex", .product(name: "NIOCore", package: "swift-nio")]),
    .target(name: "PostgresSource", dependencies: ["VectorIndex", "CChecksum", "CPostgres"]),
    .target(
      name: "VectorClient",
      dependencies: [
        "VectorWire",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
      ]),
    .target(
      name: "VectorServer",
      dependencies: [
        "VectorIndex", "VectorSnapshot", "VectorWire", "PostgresSource",
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
      ]),
    .executableTarget(
      name: "vizinho",
      dependencies: [
        "VectorServer", "VectorClient", "VectorSnapshot", "PostgresSource",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Configuration", package: "swift-configuration"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "SystemPackage", package: "swift-system"),
      ]),
    .executableTarget(
      name: "Bench",
      dependencies: [
        "CChecksum", "CTimedPoll", "CVectorKernels", "VectorIndex", "VectorServer", "VectorWire", "PostgresSource",
        .product(name: "ArgumentParser", package: "swift-argument-parser"),
        .product(name: "Histogram", package: "hdrhistogram-swift"),
        .product(name: "Logging", package: "swift-log"),
        .product(name: "NIOCore", package: "swift-nio"),
      ]),

    // Tests mirror Sources; TestSupport holds generators, the oracle and the fault makers.
    .target(name: "TestSupport", dependencies: ["VectorIndex"], path: "Tests/TestSupport"),
    .target(name: "CAllocationCounter", path: "Tests/CAllocationCounter"),
    .testTarget(
      name: "VectorIndexTests", dependencies: ["VectorIndex", "CVectorKernels", "TestSupport", "CAllocationCounter"]),
    .testTarget(
      name: "VectorSnapshotTests", dependencies: ["VectorSnapshot", "VectorIndex", "CChecksum", "CLZ4", "TestSupport"],
      exclude: ["Golden"]),
    .testTarget(
      name: "VectorWireTests",
      dependencies: ["VectorWire", "TestSupport", .product(name: "NIOCore", package: "swift-nio")],
      exclude: ["Golden"]),
    .testTarget(name: "PostgresSourceTests", dependencies: ["PostgresSource", "CChecksum", "TestSupport"]),
    .testTarget(
      name: "VectorServerTests",
      dependencies: [
        "VectorServer", "VectorClient", "TestSupport",
        .product(name: "Logging", package: "swift-log"),
        .product(name: "ServiceLifecycle", package: "swift-service-lifecycle"),
        .product(name: "NIOCore", package: "swift-nio"),
        .product(name: "NIOPosix", package: "swift-nio"),
      ]),
    // Programs' internals are tested like a library's: SwiftPM renames their main functions where tests link them.
    .testTarget(name: "VizinhoTests", dependencies: ["vizinho"]),
    .testTarget(
      name: "BenchTests",
      dependencies: [
        "Bench", "PostgresSource", "TestSupport", "VectorIndex", "VectorWire",
        .product(name: "NIOCore", package: "swift-nio"),
      ]),
  ],
  swiftLanguageModes: [.v6],
  cLanguageStandard: .c17
)
