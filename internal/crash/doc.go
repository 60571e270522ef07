// Package crash holds no code but tests: the crash table. Each row is something
// that dies, stops or is cut off at one step of a migration, played on real
// processes: redis-server, members of an app under load, a coordinator. The
// verdict stands in the test's name.
//
// # How a row is played
//
// Members and the coordinator are this test binary, started again in a role. A
// member writes down what it is about to do, and what it was told, before it goes
// on (package load), so that its journal outlives kill -9. At the end all journals
// are held against the side that has the authority then.
//
// A coordinator reaches the servers through proxies that see what it sends. A
// change of the record, or the marker of the proof, is recognised before a server
// has it, and everything that the coordinator sends stands still until what the
// row has planned for that moment was done. So a step is hit exactly, on a machine
// of any speed, and the code that moves has no switch for it. There are three
// moments to a step: before a server has it; when it is carried out and the answer
// has not come; some commands later, in the middle of what comes next. In the short
// form "before" a step is also "after" the one that goes before it.
//
// Most of a row is waiting: for a lease or a lock to run out (protocol.SilentFor).
// So many rows stand side by side, and take turns where they work. LONG=1 repeats
// them at every step, on the way back, and with every mode of target; `make real`
// sets it.
//
// # Processes of ours
//
//	what happens                                       test, and its verdict
//	coordinator killed before, in and after each of    TestCoordinatorKilledLosesNothing
//	prepare, hold, prove, offer, commit, grant, abort  the app works on before anybody takes over, the next
//	                                                   coordinator carries on, and the app is shown no error
//	the same to Sentinel and Cluster, and going back   TestCoordinatorKilledInEveryModeLosesNothing (LONG)
//	member killed in a hold, before and after its      TestMemberKilledInHoldLosesNothing
//	acknowledgement, and after the commit              it is waited out and fenced, the others see no error
//	member stopped then, woken after the flip          TestMemberStoppedInHoldWritesNothingLate
//	                                                   the sides are equal with nobody to repair them
//	member without the source, or the target, in       TestMemberCutOffLosesNothing
//	shadow, in a hold, at 50 % and in soak             no move stands on it; it works on with what it needs
//	member started in a hold, and after the commit     TestMemberStartedInHoldLosesNothing
//	every member replaced in shadow                    TestRollingDeployInShadowLosesNothing
//	shadow killed in its pass, and when it was equal   TestShadowKilledCopiesNothingTwice
//
// # Servers, and what is around them
//
//	what happens                                       test, and its verdict
//	target's primary killed in shadow                  TestTargetKilledInShadowTheAppSeesNothing
//	killed before, in and after hold, prove, offer     TestTargetKilledInAMoveLosesNothing
//	and commit                                         until the commit nothing moves, and the app works on
//	                                                   without a target; after it the move is carried on
//	killed in soak                                     TestTargetKilledInSoakLosesNothing
//	source's primary killed in shadow                  TestSourceKilledInShadowLosesNothing
//	killed in soak                                     TestSourceKilledInSoakTheAppSeesNothing
//	a lone source killed and started again             TestLoneSourceRestartedLosesNothing
//	source stopped for 3 s and 20 s, in shadow         TestSourceHungInShadowLosesNothing
//	and in a hold                                      TestSourceHungInAHoldLosesNothing
//	                                                   the hold ends as soon as it goes on
//	feeds cut in shadow                                TestFeedCutInShadowEverythingIsComparedAgain
//	and in a hold                                      TestFeedCutInAHoldTheMoveIsGivenUp
//	target out of memory in shadow                     TestTargetFullInShadowTheAppSeesNothing
//	                                                   status and cutover name it, and it heals by itself
//	and from the start                                 TestTargetFullFromTheStartIsRefused
//	target's password wrong from the start             TestWrongPasswordFromTheStartIsRefused
//	changed in shadow                                  TestPasswordChangedInShadowTheAppSeesNothing
//	and in soak                                        TestPasswordChangedInSoakLosesNothing
//	no CONFIG, ACL, DEBUG, BGSAVE, CLIENT KILL, LIST   TestManagedServiceMovesAndSaysWhatIsLost
//	or TRACKING, each and all, on one side and both    check names what is lost, and nothing is refused
//	a member that died there                           TestUnfencedMemberStopsTheMoveWhichSaysHowToGoOn
//	a writer that does not use the client              TestWriterShutOut, TestWriterNotShutOut (migrate/coordinator)
//	                                                   found, named, refused, or shut out by --fence acl
//	a side that is gone for good                       TestSourceGivenUp, TestTargetGivenUp (migrate/coordinator)
//	target that takes no payload of the source         TestOlderTargetIsCopiedByType
//	keys that expire in the pass and in holds          TestKeysThatExpireInTheCopyAndInAHoldDieOnBothSides
//	keys renewed after the flip                        TestKeysRenewedAfterTheFlipOutliveTheirOldExpiry
//	values that change type                            TestValuesThatChangeTypeInMidCopyEndEqual
//
// A failover of Redis loses what its replicas had not got, whoever uses it. That is
// not counted here: a primary that has the authority is killed when its replicas
// are level, behind a pause in which it acknowledges nothing, under full load. What
// is missing afterwards was lost by the migration. How much Redis itself loses is
// measured in package drill.
package crash
