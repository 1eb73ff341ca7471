module github.com/godino-ml/godino

go 1.26
