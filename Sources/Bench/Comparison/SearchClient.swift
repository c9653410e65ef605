// What a client of either side looks like to the loops that measure.
//
// May use: nothing but the standard library.

/// One connection that asks one question at a time. Made and used by one thread.
protocol SearchClient: AnyObject {
  /// Asks the question of that number, waits for the answer and reads it.
  /// - Returns: the numbers of the rows that were found, nearest first.
  func search(_ query: Int) throws -> [Int64]

  /// The process that answers, where it is on this machine and can be seen.
  var engineProcessID: Int32? { get }
}

/// Makes a client on the thread that will use it.
typealias ClientMaker = @Sendable () throws -> any SearchClient
