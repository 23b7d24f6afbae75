// Buckets of DDSketch (C. Masson, J. E. Rim, H. K. Lee, "DDSketch", VLDB 2019) with a relative error of 2 %.
//
// Bucket 20000 + i holds the values of (gamma^(i-1), gamma^i], bucket 0 is zero, and values below zero have the negative
// of their magnitude's bucket: buckets sort as values do. telemetry.sketch_value (sql/0008) is the inverse; both are
// PERMANENT, because buckets are stored.

/// The numbers of the sketch.
public enum Sketch {
  static let offset = 20_000
  /// 1 / ln(1.02 / 0.98).
  static let bucketsPerE = 24.996666311036567

  /// The bucket of a finite value. Magnitudes of doubles need 1392 to 37743.
  @inline(__always) public static func bucket(_ value: Double) -> Int32 {
    if value == 0 { return 0 }
    let exact = naturalLogarithm(value.magnitude) * bucketsPerE
    var index = Int(exact)
    if Double(index) < exact { index &+= 1 }
    let bucket = Int32(truncatingIfNeeded: offset &+ index)
    return value < 0 ? 0 &- bucket : bucket
  }

  /// ln of a finite value above zero, to 1e-12: the exponent, and the series of artanh for what is left, which lies
  /// between 1/sqrt 2 and sqrt 2 (M. Abramowitz, I. A. Stegun, 4.1.27).
  @inline(__always) static func naturalLogarithm(_ value: Double) -> Double {
    var (bits, shift) = (value.bitPattern, 1023)
    // Subnormal: 2^54 times as large.
    if bits >> 52 == 0 { (bits, shift) = ((value * 0x1p54).bitPattern, 1077) }
    var exponent = Int(bits >> 52) &- shift
    var rest = Double(bitPattern: bits & 0x000f_ffff_ffff_ffff | 0x3ff0_0000_0000_0000)
    if rest > 1.414213562373095 {
      rest *= 0.5
      exponent &+= 1
    }
    let z = (rest - 1) / (rest + 1)
    let q = z * z
    var series = 2.0 / 13
    series = series * q + 2.0 / 11
    series = series * q + 2.0 / 9
    series = series * q + 2.0 / 7
    series = series * q + 2.0 / 5
    series = series * q + 2.0 / 3
    series = series * q + 2
    return Double(exponent) * 0.6931471805599453 + z * series
  }
}
